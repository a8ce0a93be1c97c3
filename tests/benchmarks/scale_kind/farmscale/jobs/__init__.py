"""Job kinds."""
