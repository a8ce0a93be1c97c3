"""For every test: `uv run pytest` leaves Blender where it is."""

from farm import wheel

wheel.settle("bpy")
