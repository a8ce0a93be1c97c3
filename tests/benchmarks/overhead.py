"""What a job costs besides path tracing: CPU-ms per image, by the intercept over samples.

    python tests/benchmarks/overhead.py [--triangles 20000] [--views 24] [--shapes 6]

The same job runs at 1, 4, 16 and 32 samples; path tracing grows with the samples, the rest (import,
sync, read-back, checks, encoding, tar) does not. CPU time of the child program, by os.times.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from in_process import run_job  # isort: skip  (before numpy: it sets the number of threads)

import numpy as np
from meshes import bumpy_spheres

SAMPLES = (1, 4, 16, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triangles", type=int, default=20_000)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--shapes", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bumpy_spheres(folder / "shapes", options.shapes, options.triangles)
        run_job(folder / "warm", [str(folder / "shapes")], views=1, limit=1)
        costs = []
        for spp in SAMPLES:
            before = os.times()
            images = run_job(
                folder / f"spp{spp}", [str(folder / "shapes")], views=options.views, spp=spp
            )
            after = os.times()
            cpu = after.user + after.system - before.user - before.system
            costs.append(1000 * cpu / images)
            print(f"{spp:3d} samples  {costs[-1]:7.1f} CPU-ms per image  ({images} images)")
    slope, rest = np.polyfit(SAMPLES, costs, 1)
    traced = 16 * slope
    print(
        f"path tracing {slope:.2f} CPU-ms per sample; everything else {rest:.1f} CPU-ms per image\n"
        f"at 16 samples: {traced:.1f} of {traced + rest:.1f} CPU-ms are path tracing: "
        f"{100 * traced / (traced + rest):.0f} % of the floor's speed"
    )


if __name__ == "__main__":
    main()
