"""`python -m renderer`: the child program that renders.

python -m renderer            tasks as JSON lines on stdin, events on stdout (farm/child.py)
python -m renderer doctor     what this machine can render with, as one JSON line
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    from renderer.machine import threads

    # numpy's OpenBLAS starts a thread per core, and idle ones spin: on 2 cores a view cost 65
    # CPU-ms besides path tracing, and 39 this way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads() or 1))
    if sys.argv[1:] == ["doctor"]:
        return doctor()
    if sys.argv[1:]:
        print(f"python -m renderer knows no {sys.argv[1]!r}; there is: doctor", file=sys.stderr)
        return os.EX_USAGE
    from farm.child import serve

    return serve("renderer.jobs", warm_up)


def warm_up() -> None:
    from renderer.shard_task import warm_session

    warm_session()


def doctor() -> int:
    """Load Blender and say what came of it: {"ok", "blender", "device", "why", ...}."""
    import json

    out = os.dup(1)
    os.dup2(2, 1)  # Blender chatters on stdout
    from renderer import machine
    from renderer.blender.engine import NoBlender, import_bpy, start

    told: dict[str, object] = {"versions": machine.versions()}
    try:
        device = start(machine.threads())
        told |= {
            "ok": True,
            "blender": import_bpy().app.version_string,
            "device": {"kind": device.kind, "name": device.name, "why": device.why},
            "instruction_set": machine.instruction_set(),
        }
    except NoBlender as error:
        told |= {"ok": False, "reason": str(error)}
    os.write(out, json.dumps(told).encode() + b"\n")
    return os.EX_OK if told["ok"] else os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
