"""For every test: `uv run pytest` leaves Blender where it is, and Ctrl-C reaches what it starts."""

import signal

from farm import wheel

# A shell that starts this in the background ignores Ctrl-C for it and for all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

wheel.settle("bpy")
