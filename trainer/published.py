"""Figures that others published, for the tables of an experiment: always marked as theirs.

Source: B. Jourdan, Annotation Invariant Style Transfer, University of Edinburgh 2020: DPC with
unknown cameras on ShapeNet's cars, 128 px, 600 000 steps, one run each, no seeds.  Chamfer
distances x 100; accuracy within 30 degrees; median error in degrees.
"""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "published: Jourdan, Edinburgh 2020"
HOW = (
    "One run each of DPC on ShapeNet's cars: 128 px, 600,000 steps, cameras unknown. Other data, "
    "other lengths: beside ours for orientation, not to be measured against."
)
_NAMES = ("precision", "coverage", "chamfer", "accuracy", "median_deg")
_ROWS = {
    ("original", "original"): (1.60, 1.35, 2.95, 0.82, 6.95),
    ("original", "stylized 2"): (1.61, 1.37, 2.98, 0.83, 7.01),
    ("original", "stylized 3"): (1.61, 1.37, 2.98, 0.83, 7.01),
    ("exp 2", "original"): (1.59, 1.37, 2.96, 0.83, 4.55),
    ("exp 2", "stylized 2"): (1.57, 1.35, 2.92, 0.84, 4.27),
    ("exp 2", "stylized 3"): (1.57, 1.35, 2.93, 0.84, 4.27),
    ("exp 3", "original"): (1.62, 1.36, 2.97, 0.84, 6.01),
    ("exp 3", "stylized 2"): (1.61, 1.34, 2.95, 0.84, 5.64),
    ("exp 3", "stylized 3"): (1.60, 1.34, 2.95, 0.84, 5.65),
}
ROWS: Mapping[tuple[str, str], Mapping[str, float]] = {
    where: dict(zip(_NAMES, figures, strict=True)) for where, figures in _ROWS.items()
}
"""(trained on, tested on) -> figures."""


def canonical(name: str) -> str:
    """What a name in an experiment is called here: "Styled 2", "stylised-2" are "stylized 2";
    "experiment 2" and "constrained" are "exp 2"."""
    words = name.lower().replace("-", " ").replace("_", " ").split()
    same = {"stylised": "stylized", "styled": "stylized", "experiment": "exp"}
    plain = " ".join(same.get(word, word) for word in words)
    return {"constrained": "exp 2", "less constrained": "exp 3", "baseline": "original"}.get(
        plain, plain
    )
