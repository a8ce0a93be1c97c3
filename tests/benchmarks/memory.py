"""Is a warm Blender's memory flat? RSS in MB from the 10th to the 500th shape.

    python tests/benchmarks/memory.py FOLDER_OR_ADDRESS [--shapes 500]

The shapes of the address are rendered again and again in one process, at 64 px and 4 samples: what
grows, grows by the shape.
"""

from __future__ import annotations

import argparse
import itertools
import os

import psutil

from renderer import shapes
from renderer.sample import Recipe, make_sample
from renderer.shard_task import warm_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--shapes", type=int, default=500)
    options = parser.parse_args()
    found = [shape for shape in shapes.scan([options.address]) if not shape.problem]
    recipe = Recipe(
        cameras="dpc", views=2, size=64, spp=4, passes=("rgba", "depth"), points=2048, seed=0
    )
    out, measured = os.dup(1), {}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Blender's chatter
    for number, shape in enumerate(itertools.islice(itertools.cycle(found), options.shapes), 1):
        make_sample(warm_session, shape, recipe)
        if number in (10, 50, 100, 200, 300, 400, 500):
            measured[number] = psutil.Process().memory_info().rss / 1e6
            os.write(out, f"shape {number:4d}  {measured[number]:6.1f} MB\n".encode())
    growth = measured[max(measured)] / measured[50] - 1
    os.write(out, f"from shape 50 to shape {max(measured)}: {growth:+.1%}\n".encode())


if __name__ == "__main__":
    main()
