"""Kinds for tests/benchmarks/scale.py."""
