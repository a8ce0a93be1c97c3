"""OFF: read whole; trimesh would take a file that has fewer faces than it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from renderer.shapes.health.findings import Findings
from renderer.shapes.off import read_off
from renderer.shapes.references import References


def read(path: Path, needs: References, findings: Findings) -> None:
    try:
        mesh = read_off(path)
    except ValueError as error:
        findings.problem(str(error))
        return
    bad = findings.add_points(mesh.vertices)
    findings.add_faces(mesh.corners)
    real = np.repeat(mesh.corners >= 3, mesh.corners)
    findings.check_indices(mesh.indices[real], bad)
