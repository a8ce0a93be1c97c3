"""What goes wrong in training.

ValueError
├── UnknownModel        no model of that name
└── DatasetRefused      a dataset lacks what a model needs
Exception
└── RunFailed           a run cannot go on; carries the farm's failure class
    ├── NotFinite       the loss is NaN or infinite
    ├── OutOfMemory     the GPU's memory does not hold it
    └── NoWeights       a file of pretrained weights is not there
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class UnknownModel(ValueError):
    """No model has that name."""

    def __init__(self, name: str, known: Sequence[str]):
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        near = difflib.get_close_matches(self.name, self.known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.known)}"
        return f"no model {self.name!r}; {meant}"


class DatasetRefused(ValueError):
    """A dataset will not do for what is wanted of it; the text names the dataset and what lacks."""


class RunFailed(Exception):
    """A run cannot go on."""

    failure_class = "crash"

    @property
    def reason(self) -> str:
        return str(self)


class NotFinite(RunFailed):
    """The loss is no number any more: trying again would give the same."""

    failure_class = "bad_input"

    def __init__(self, step: int, loss: float, keys: Sequence[str], checkpoint: str):
        super().__init__(step, loss, keys, checkpoint)
        self.step, self.loss, self.keys, self.checkpoint = step, loss, keys, checkpoint

    def __str__(self) -> str:
        shown = ", ".join(self.keys[:4]) + (" ..." if len(self.keys) > 4 else "")
        return (
            f"the loss is {self.loss} at step {self.step}; the batch was {shown}; "
            f"the last good checkpoint is {self.checkpoint or 'none yet'}; try a lower --lr"
        )


class OutOfMemory(RunFailed):
    """The device's memory is too small."""

    failure_class = "out_of_memory"

    def __init__(self, device: str, batch: int):
        super().__init__(device, batch)
        self.device, self.batch = device, batch

    def __str__(self) -> str:
        half = max(1, self.batch // 2)
        return f"{self.device} is out of memory at --batch {self.batch}; try --batch {half}"


class NoWeights(RunFailed):
    """Pretrained weights are not there and cannot be fetched."""

    failure_class = "environment"

    def __init__(self, what: str, file: str, folder: str):
        super().__init__(what, file, folder)
        self.what, self.file, self.folder = what, file, folder

    def __str__(self) -> str:
        return f"no weights {self.what}: put {self.file} into {self.folder}, or --weights none"
