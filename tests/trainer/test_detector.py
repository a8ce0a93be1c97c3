"""Mask R-CNN: torchvision's, with weights from a file, and masks in the photo's own pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from trainer import hub
from trainer.detector import Detector, NoDetector, segment_of
from trainer.photos import Picture

NAME = "maskrcnn_resnet50_fpn"


def picture(height: int, width: int) -> Picture:
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Picture(rgb=rgb, alpha=None, size=(width, height), colour=50.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights, as torchvision's own files are."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(NAME, weights=None, weights_backbone=None)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("name", hub.DETECTORS)
def test_the_files_of_weights_are_called_as_torchvision_calls_them(name):
    chosen = torchvision.models.get_model_weights(name)["COCO_V1"]

    assert chosen.url == f"https://{hub.SITE}/models/{hub.DETECTORS[name]}"


@pytest.mark.parametrize("name", hub.DETECTORS)
def test_the_words_are_cocos_own(name):
    meta = torchvision.models.get_model_weights(name)["COCO_V1"].meta

    assert [word for word in meta["categories"] if word not in ("N/A", "__background__")] == list(
        hub.LABELS
    )


def test_weights_belong_where_torch_hub_looks_for_them(monkeypatch, tmp_path):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        assert hub.hub_file(NAME).parent == Path(torch.hub.get_dir()) / "checkpoints"
        monkeypatch.delenv(name)
    assert hub.hub_file(NAME).parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_missing_weights_are_told_in_one_line_with_file_and_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there

    with pytest.raises(NoDetector) as refused:
        Detector(NAME, "coco", "cpu")

    folder = tmp_path / "hub" / "checkpoints"
    assert f"put {hub.DETECTORS[NAME]} (from https://{hub.SITE}/models/) into {folder}" in str(
        refused.value
    )
    assert refused.value.failure_class == "environment"
    assert "\n" not in str(refused.value)


def test_a_file_of_weights_becomes_the_network(weights):
    detector = Detector(NAME, str(weights), "cpu", score=0.0)
    stored = torch.load(weights, weights_only=True)

    there = detector.network.state_dict()
    assert all(torch.equal(there[name], tensor) for name, tensor in stored.items())
    assert detector.labels[3] == "car" and detector.labels[8] == "truck"

    detector.network.transform.min_size, detector.network.transform.max_size = (96,), 128
    photo = picture(70, 110)
    found = detector.segments(photo)

    assert 0 < len(found) <= 50
    scores = [segment.score for segment in found]
    assert scores == sorted(scores, reverse=True)
    for segment in found:
        x0, y0, x1, y1 = segment.box
        assert 0 <= x0 < x1 <= 110 and 0 <= y0 < y1 <= 70
        assert segment.mask.shape == (y1 - y0, x1 - x0) and set(np.unique(segment.mask)) <= {0, 1}
    again = detector.segments(photo)
    assert [one.box for one in again] == [one.box for one in found]


def test_half_a_detector_is_refused_by_name(weights, tmp_path):
    stored = torch.load(weights, weights_only=True)
    kept = {n: t for n, t in stored.items() if not n.startswith("roi_heads.mask_head")}
    save_file(kept, tmp_path / "half.safetensors")

    with pytest.raises(ValueError, match=r"it lacks roi_heads\.mask_head\.0\.0\.weight and 7 more"):
        Detector(NAME, str(tmp_path / "half.safetensors"), "cpu")


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_what_is_found_in_a_reduced_photo_lies_where_it_is_in_the_photo(factor):
    soft = np.zeros((40, 60), np.float32)
    soft[10:30, 12:50] = 1
    box = np.array([12, 10, 50, 30], np.float32)

    found = segment_of("car", 0.9, box, soft, (40, 60), picture(40 * factor, 60 * factor))

    assert found.box == (12 * factor, 10 * factor, 50 * factor, 30 * factor)
    assert found.mask.mean() > 0.995  # linear interpolation rounds the corners
    np.testing.assert_array_equal(found.mask, found.mask[::-1, ::-1])


def test_a_slanted_edge_stays_where_it_is():
    rows, columns = np.mgrid[:40, :60] + 0.5
    soft = np.clip(rows - 0.6 * columns + 5.5, 0, 1).astype(np.float32)

    found = segment_of(
        "car", 0.9, np.array([0, 0, 60, 40], np.float32), soft, (40, 60), picture(160, 240)
    )

    rows, columns = (np.mgrid[:160, :240] + 0.5) / 4
    off = (rows - 0.6 * columns + 5.5 > 0.5) != (found.mask > 0)
    edge = np.abs(rows - 0.6 * columns + 5) < 1
    assert not off[~edge].any()
    assert off.mean() < 0.004


def test_a_box_outside_of_the_photo_is_nothing():
    box = np.array([60.2, 5, 60.4, 9], np.float32)

    assert (
        segment_of("car", 0.9, box, np.ones((40, 60), np.float32), (40, 60), picture(40, 60))
        is None
    )
