"""How a run goes: metrics.jsonl is the truth, TensorBoard a view of it.

    {"step": 10, "split": "train", "seconds": 3.1, "images_per_s": 812.0, "lr": 0.001, "loss": 0.53}
    {"step": 200, "split": "val", "seconds": 63.0, "accuracy": 0.91}

A line of training is the mean over the steps since the line before; `step` counts finished steps.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from trainer import atomic


class Tracker:
    """Writes a run's lines, from a step on. A context manager."""

    def __init__(self, folder: Path, start: int):
        """start  steps done: what was written about later ones, and is done again, is taken back"""
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        _cut(self._path, start)
        self._file = self._path.open("ab")
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=start + 1 if start else None, flush_secs=10
        )

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, split: str, **values: float) -> dict[str, Any]:
        """One line; a number that is none becomes null."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "split": split, **finite}
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        for name, value in finite.items():
            if value is not None:
                self._board.add_scalar(f"{split}/{name}", value, step)
        return line

    def settle(self) -> None:
        """Have every line on the disk: before a checkpoint that goes on after them."""
        os.fsync(self._file.fileno())


class Silent:
    """What a process that does not write has in its place."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, step: int, split: str, **values: float) -> dict[str, Any]:
        return {"step": step, "split": split, **values}

    def settle(self) -> None: ...


def read(path: Path) -> list[dict[str, Any]]:
    """The lines there are; one that is cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _cut(path: Path, start: int) -> None:
    """Keep the lines up to a step."""
    kept = [line for line in read(path) if line["step"] <= start]
    atomic.write(path, b"".join(json.dumps(line).encode() + b"\n" for line in kept))
