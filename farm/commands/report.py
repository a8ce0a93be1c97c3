"""`farm report`: a run, or an experiment, as a page."""

from __future__ import annotations

import json as json_
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run as one page: curves, tables, predictions beside inputs; or a pipeline's experiment.

        farm report runs/rn
        farm report runs/aist-experiment

    Works while the run goes on. Page and pictures need no network: a folder to look at, print, or
    send to somebody.
    """

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """Folder of the run, or its s3:// address, or folder of a pipeline."""
    out: str | None = None
    """Folder of the page; by default report/ in the run's."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        try:
            from renderer.storage import place
            from trainer import experiment

            run = place(self.run)
            if isinstance(run, Path) and experiment.is_one(run):
                from trainer import experiment_page

                page = experiment_page.make(run, self.out)
            else:
                from trainer import report

                page = report.make(run, self.out)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"a report needs {error.name}, which is not installed here; "
                "pip install 'shapefarm[train]'"
            ) from None
        print(json_.dumps({"run": self.run, "page": str(page)}) if self.json else page)
        return 0


COMMANDS = {"report": Report}
