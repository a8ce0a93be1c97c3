"""Pictures of an experiment, in the style of trainer.plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251  beside trainer.plots, whose style this has
from numpy.typing import ArrayLike

from trainer.plots import COLOURS, Paper, _finish, _save
from trainer.silhouette import FARTHEST, empirical_cumulative, kde_cumulative

__all__ = ["cumulative"]

PLACES = 241
DASHES = (0, (1.2, 1.6))


def cumulative(
    path: str | Path,
    groups: Mapping[str, Sequence[ArrayLike]],
    *,
    name: str = "mask error",
    farthest: float = FARTHEST,
    size: tuple[float, float] = (460, 300),
) -> Path:
    """Cumulative curves of errors: of their kernel density estimate, and as they are (dotted).

    groups    "experiment 2" -> errors [n] of each of its runs; the mean of the runs' curves is
              drawn, and a band from the lowest to the highest of them
    farthest  where the axis ends

    The curve that rises earlier is the better one.
    """
    places = np.linspace(0, farthest, PLACES)

    def draw(figure: Figure, paper: Paper) -> None:
        axes = figure.add_subplot()
        for number, (label, runs) in enumerate(groups.items()):
            colour = COLOURS[number % len(COLOURS)]
            smooth = np.stack([kde_cumulative(errors, places) for errors in runs])
            plain = np.stack([empirical_cumulative(errors, places) for errors in runs])
            if len(runs) > 1:
                axes.fill_between(
                    places, smooth.min(0), smooth.max(0), color=colour, alpha=0.16, linewidth=0
                )
            axes.plot(places, smooth.mean(0), color=colour, label=label)
            axes.plot(places, plain.mean(0), color=colour, linestyle=DASHES, linewidth=1.0)
        axes.set_xlim(-0.02 * farthest, farthest)
        axes.set_ylim(-0.01, 1.01)
        _finish(axes, x_name=name, y_name="share of pictures", percent=True, legend=len(groups) > 1)

    return _save(path, size, draw)
