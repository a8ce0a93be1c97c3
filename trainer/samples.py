"""What a network makes while it learns: sheets of pictures, kept in the run's folder.

    samples/00000500.png    made after 500 steps: rows of tiles, all of one size
                            (its PNG text "columns" holds their names, as JSON)

A sheet that a run goes over again after a kill is written again with the same bytes.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from trainer import atomic
from trainer.models import Samples

FOLDER = "samples"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet on storage."""

    step: int
    path: Path

    def read(self) -> Samples:
        """The tiles again. Raises ValueError for a file that is no sheet."""
        with Image.open(self.path) as image:
            names = tuple(json.loads(str(image.info.get("columns", "[]"))))
            pixels = np.asarray(image)
        if not names or pixels.shape[1] % len(names):
            raise ValueError(f"{self.path} is not a sheet of samples")
        side = pixels.shape[1] // len(names)
        rows = [
            [pixels[y : y + side, x : x + side] for x in range(0, pixels.shape[1], side)]
            for y in range(0, pixels.shape[0], side)
        ]
        return Samples(rows=rows, columns=names)


def due(config: Any, done: int, steps: int) -> bool:
    """Whether a sheet is to be made after so many steps."""
    every = getattr(config, "sample_steps", 0)
    return bool(every) and (done % every == 0 or done == steps)


def write(folder: Path, step: int, samples: Samples) -> Sheet:
    """Keep what was made after `step` steps; folder is the run's."""
    pixels = np.concatenate([np.concatenate(list(row), axis=1) for row in samples.rows])
    info = PngInfo()
    info.add_text("columns", json.dumps(samples.columns))
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", pnginfo=info)
    sheet = Sheet(step=step, path=folder / FOLDER / f"{step:08d}.png")
    atomic.write(sheet.path, data.getvalue())
    return sheet


def sheets(folder: Path) -> list[Sheet]:
    """Those of a run, in order of step."""
    paths = sorted((folder / FOLDER).glob("[0-9]*.png"))
    return [Sheet(step=int(path.stem), path=path) for path in paths]


def some(found: list[Sheet], most: int) -> list[Sheet]:
    """At most so many of them, spread evenly, the last among them."""
    places: NDArray[Any] = np.linspace(0, len(found) - 1, min(most, len(found)), dtype=int)
    return [found[place] for place in places]
