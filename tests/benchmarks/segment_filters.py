"""Segments per second through the filters and the normalization, on one core, without a detector.

    python tests/benchmarks/segment_filters.py [--side 512] [--size 128] [--segments 60]

A segment is an ellipse with notches in a photo of noise, of boxes --side pixels wide.  Each passes
all seven filters, gets a ratio drawn, is padded and reduced to --size pixels.  Told beside it: with
the encoding of the PNG and the sample's record, as the farm stores it; and the plain way, which
makes the padded square and lets OpenCV reduce it by area.  The promise is 100 a second at 512 px.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one core is measured
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np

from renderer import shards
from trainer import padding, segments
from trainer.padding import Normal
from trainer.segments import Segment, Thresholds

PROMISED = 100
NORMAL = Normal(mean=0.22, deviation=0.06)
ROUNDS = 5


def make(side: int, rng: np.random.Generator) -> tuple[np.ndarray, Segment]:
    """A photo's crop and the segment in it, whose box is side x 0.7 side or so."""
    height = int(side * rng.uniform(0.6, 0.8))
    mask = np.zeros((height, side), np.uint8)
    middle, half = (side // 2, height // 2), (side // 2 - 1, height // 2 - 1)
    cv2.ellipse(mask, middle, half, 0, 0, 360, 1, -1)
    for _ in range(6):
        at = (int(rng.integers(side)), int(rng.choice([0, height - 1])))
        cv2.circle(mask, at, side // 12, 0, -1)
    box = (0, 0, side, height)
    rgb = rng.integers(0, 256, (height, side, 3), np.uint8)
    return rgb, Segment(label="car", score=0.9, box=box, mask=mask, colour=80.0)


def plain(rgb: np.ndarray, mask: np.ndarray, side: int, size: int) -> np.ndarray:
    """The padded square, made and reduced."""
    height, width = mask.shape
    top, left = (side - height) // 2, (side - width) // 2
    whole = np.zeros((side, side, 4), np.float32)
    whole[top : top + height, left : left + width, :3] = rgb * mask[..., None]
    whole[top : top + height, left : left + width, 3] = mask
    small = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    share = small[..., 3:]
    colours = np.rint(small[..., :3] / np.maximum(share, 1e-6)).clip(0, 255)
    return padding.corrected(np.dstack([colours, np.rint(share * 255)]).astype(np.uint8))


def rate(work: Callable[[], None], count: int) -> float:
    """Median of a few rounds, per second of this process's own time."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        found.append(count / (time.process_time() - began))
    return statistics.median(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--segments", type=int, default=60)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    made = [make(options.side, rng) for _ in range(options.segments)]
    least = Thresholds(border=1.0)

    def ours(store: bool) -> None:
        for rgb, segment in made:
            assert segments.rejected(segment, least) is None
            found = padding.normalized(rgb, segment.mask, NORMAL, options.size, rng)
            assert found is not None
            if store:
                members = {"00.rgba.png": shards.encode_image("rgba", found.rgba)}
                pixels = shards.pixels_hash({"00.rgba.png": found.rgba})
                shards.make_record("car-0", members, pixels)

    def the_plain_way() -> None:
        for rgb, segment in made:
            assert segments.rejected(segment, least) is None
            side = segment.mask.shape[1]
            n = padding.margin(side, segment.area, 0.22)
            plain(rgb, segment.mask, side + round(2 * n), options.size)

    promised = rate(lambda: ours(False), len(made))
    print(f"{options.side} px to {options.size} px, on one core, segments a second:")
    print(f"  filters and normalization        {promised:7.0f}   {promised / PROMISED:.1f} x "
          f"the {PROMISED} that are promised")  # fmt: skip
    print(f"  the same, encoded as stored      {rate(lambda: ours(True), len(made)):7.0f}")
    print(f"  filters, and padding made plainly{rate(the_plain_way, len(made)):7.0f}")
    return 0 if promised >= PROMISED else 1


if __name__ == "__main__":
    sys.exit(main())
