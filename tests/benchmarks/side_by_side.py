"""The farm against a plain script: images/s of the whole job, in one run on the same machine.

    python tests/benchmarks/side_by_side.py [--triangles 20000] [--views 24] [--shapes 24]

Both render the same meshes at 128 px and 16 samples with the same passes. The script is what people
write: one process per model, one write per view; the better of one process at a time with two
threads and two processes with one thread each. The farm is `farm submit render` with everything
that belongs to it: private Redis, controller, workers, checks, hashes, point clouds and shards.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from meshes import bumpy_spheres

SCRIPT = Path(__file__).with_name("plain_script.py")


def plain(models: list[Path], out: Path, views: int, processes: int, threads: int) -> float:
    """Seconds that the plain script needs for all models."""
    out.mkdir()

    def render(model: Path) -> None:
        subprocess.run(
            [sys.executable, str(SCRIPT), str(model), str(out), str(views), str(threads)],
            check=True,
            capture_output=True,
        )

    began = time.perf_counter()
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(render, models))
    seconds = time.perf_counter() - began
    assert len(list(out.iterdir())) == views * len(models)
    return seconds


def farm(folder: Path, out: Path, views: int, home: Path) -> float:
    """Seconds that `farm submit render` needs, from its first to its last line."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "farm.cli", "submit", "render", "--shapes", str(folder)]
        + ["--out", str(out), "--views", str(views)],
        check=True,
        capture_output=True,
        env={**os.environ, "FARM_HOME": str(home)},
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triangles", type=int, default=20_000)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--shapes", type=int, default=24)
    options = parser.parse_args()
    images = options.views * options.shapes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = bumpy_spheres(folder / "shapes", options.shapes, options.triangles)
        seconds = {
            "script, 1 process x 2 threads": plain(models, folder / "a", options.views, 1, 2),
            "script, 2 processes x 1 thread": plain(models, folder / "b", options.views, 2, 1),
            "farm": farm(folder / "shapes", folder / "c", options.views, folder / "home"),
        }
    print(f"{options.shapes} shapes x {options.views} views, {options.triangles} triangles")
    for name, spent in seconds.items():
        print(f"  {name:32s} {images / spent:6.2f} images/s")
    best = min(spent for name, spent in seconds.items() if name != "farm")
    print(
        f"  the farm renders {best / seconds['farm']:.2f} times the images/s of the better script"
    )


if __name__ == "__main__":
    main()
