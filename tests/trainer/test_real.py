"""dpc on segments of photos: datasets without cameras, points and categories."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.conftest import Quiet
from tests.trainer.datasets import make_dataset
from tests.trainer.segments import make_segments, pictures_of
from trainer import measure, real
from trainer.data import Snapshot
from trainer.jobs import evaluate as job
from trainer.jobs.train import Job, resolve
from trainer.loader import ordered
from trainer.models import Tools, dpc
from trainer.report import make
from trainer.run import Run, claim, evaluated
from trainer.silhouette import silhouettes
from trainer.start import Refused, train

OPTIONS = {"image": 16, "voxels": 8, "points": 60, "width": 16}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blocks, segments (the same blocks, seen once), and a trained run of each kind of pose."""
    folder = tmp_path_factory.mktemp("real")
    blocks = make_dataset(folder / "blocks", size=32, points=64, splits={"train": 4, "val": 1,
                                                                         "test": 2})  # fmt: skip
    make_segments(folder / "segments", {"train": pictures_of(blocks, "train"),
                                        "test": pictures_of(blocks, "test")})  # fmt: skip
    for pose in ("unsupervised", "camera"):
        asked = Job(
            model="dpc", data=(str(blocks),), out=str(folder / pose), preset="tiny", steps=3,
            device="cpu", loaders=0, config={**OPTIONS, "pose": pose},
        )  # fmt: skip
        asked = resolve(asked, folder)
        claim(asked, Snapshot.take([blocks]).to_json())
        train(asked, Silent())
    return folder


class Silent(Quiet):
    def progress(self, **_: Any) -> None: ...


def evaluate(made: Path, pose: str, data: str) -> Path:
    asked = job.resolve(
        job.Job(run=str(made / pose), data=(str(made / data),), device="cpu", loaders=0), made
    )
    job.scan(asked)
    return Path(measure.evaluate(asked, Silent())["folder"])


def test_segments_are_judged_by_masks_alone(made: Path) -> None:
    found = evaluated(evaluate(made, "unsupervised", "segments"))

    assert set(found.metrics) == {"mask_error", "mask_error_median", "mask_iou", "mask_iou_median"}
    assert all(np.isfinite(value) for value in found.metrics.values())
    arrays = found.arrays
    assert arrays["mask_error"].shape == arrays["mask_iou"].shape == (4,)
    assert found.metrics["mask_error"] == pytest.approx(arrays["mask_error"].mean())
    assert found.tables["mask_error_cumulative"]["error"][0] == 0
    assert json.loads((found.folder / "evaluation.json").read_text())["data"] == [
        str(made / "segments")
    ]


def test_renders_are_judged_by_masks_too_so_that_the_gap_shows(made: Path) -> None:
    found = evaluated(evaluate(made, "unsupervised", "blocks"))

    assert {"chamfer", "precision", "coverage", "accuracy", "median_deg"} < set(found.metrics)
    assert {"mask_error", "mask_iou"} < set(found.metrics)
    assert found.arrays["mask_error"].shape == (4 * 5,)


def test_the_same_pictures_are_judged_alike_as_renders_and_as_segments(made: Path) -> None:
    renders = evaluated(evaluate(made, "unsupervised", "blocks")).arrays["mask_error"]
    segments = evaluated(evaluate(made, "unsupervised", "segments")).arrays["mask_error"]

    assert segments == pytest.approx(renders[::5], abs=1e-6)


def test_a_network_that_is_told_its_cameras_is_refused_in_one_line(made: Path) -> None:
    with pytest.raises(Refused, match=r"photos have none: only one trained with --pose unsup"):
        evaluate(made, "camera", "segments")


def test_segments_too_small_for_the_encoder_are_refused(made: Path, tmp_path: Path) -> None:
    facts = dataclasses.replace(Snapshot.take([made / "segments"]).facts, size=(8, 8))

    with pytest.raises(ValueError, match="at least its --image 16 px; these are 8 x 8"):
        dpc.check_evaluation(Run(made / "unsupervised").config, facts)


def test_a_perfect_prediction_errs_by_nothing(tmp_path: Path) -> None:
    cloud = (torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * 0.6
    camera = torch.tensor([0.9, 0.1, -0.3, 0.2])
    mask = silhouettes(cloud[None], camera[None], 24)[0].numpy()
    rgba = np.zeros((24, 24, 4), np.uint8)
    rgba[mask] = (200, 40, 30, 255)
    snapshot = Snapshot.take([make_segments(tmp_path / "one", {"test": [rgba, rgba]})])
    tools = Tools(
        device=torch.device("cpu"),
        batches=lambda examples, batch: ordered(examples, batch=batch),
        progress=lambda **_: None,
    )

    found = real.evaluate(
        lambda rgba: (cloud.expand(len(rgba), -1, -1), camera.expand(len(rgba), -1)),
        snapshot, "test", tools, batch=2,
    )  # fmt: skip

    assert found.metrics["mask_error"] == 0 and found.metrics["mask_iou"] == 1


def test_a_report_shows_segments_and_curves(made: Path) -> None:
    evaluate(made, "unsupervised", "segments")

    page = make(made / "unsupervised", made / "page").read_text()

    assert "segments.png" in page and "mask_error.png" in page
    assert list((made / "page").rglob("segments.png"))
