"""Mask R-CNN with COCO's weights: what is in a photo, and where exactly.

torchvision's networks, as they are.  Their weights are found in torch hub's folder
($TORCH_HOME/hub/checkpoints), fetched into it, or given as a file: a .pth of torchvision's, read by
torch's weights-only reader, or .safetensors.
"""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trainer import weights
from trainer.errors import RunFailed
from trainer.hub import lacking
from trainer.photos import Picture
from trainer.segments import Segment

Floats = NDArray[np.float32]

COCO = "coco"
LONGEST = 1333
"""Pixels of a photo's longer side as the network sees it; torchvision's own limit."""
SURE = 0.5
"""Of a pixel to belong to the thing."""
FLOOR = 0.3
"""What the detector is less sure of is not even listed."""
OVERLAP = 0.3
"""Boxes of one label that overlap by more are one thing (the thesis' non-maximum suppression)."""
MOST = 50  # things in one photo


class NoDetector(RunFailed):
    """The detector's weights are not there and cannot be fetched."""

    failure_class = "environment"


class Detector:
    """A network that is ready.

    name     maskrcnn_resnet50_fpn or maskrcnn_resnet50_fpn_v2
    source   "coco", or a file of weights
    score    the confidence that will be asked for; what is surer than FLOOR is listed too

    Raises NoDetector; ValueError for a file that does not fit.
    """

    def __init__(self, name: str, source: str, device: str = "auto", score: float = 0.7):
        import torchvision

        from trainer.device import choose

        self.name, self.device = name, choose(device)
        known = torchvision.models.get_model_weights(name)["COCO_V1"]
        self.labels: list[str] = list(known.meta["categories"])
        self.network: Any = torchvision.models.get_model(
            name,
            weights=None,
            weights_backbone=None,
            num_classes=len(self.labels),
            box_score_thresh=min(FLOOR, score),
            box_nms_thresh=OVERLAP,
            box_detections_per_img=MOST,
        )
        found = _coco(name, known.url) if source == COCO else weights.read(Path(source))
        _fill(self.network, found, source)
        self.network.eval().to(self.device)

    def segments(self, picture: Picture) -> list[Segment]:
        """What is in a photo, the surest first; masks in the photo's own pixels."""
        height, width = picture.rgb.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        small: NDArray[Any] = picture.rgb
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(small).to(self.device).permute(2, 0, 1).float().div(255)
        with torch.inference_mode():
            found = {name: value.cpu() for name, value in self.network([image])[0].items()}
        shape = small.shape[0], small.shape[1]
        told = [
            segment_of(
                self.labels[int(found["labels"][number])],
                float(found["scores"][number]),
                found["boxes"][number].numpy(),
                found["masks"][number, 0].numpy(),
                shape,
                picture,
            )
            for number in range(len(found["scores"]))
        ]
        return [segment for segment in told if segment is not None]


def segment_of(
    label: str,
    score: float,
    box: Floats,
    soft: Floats,
    shape: tuple[int, int],
    picture: Picture,
) -> Segment | None:
    """What was found in a reduced photo, in the pixels of the photo; None where nothing is left.

    box    [4] x0, y0, x1, y1 in the reduced photo
    soft   [h, w] how surely each of its pixels belongs to the thing
    shape  h, w
    """
    height, width = picture.rgb.shape[:2]
    across, down = width / shape[1], height / shape[0]
    limits = np.array([width, height, width, height])
    edges = np.rint(box * np.array([across, down, across, down])).clip(0, limits).astype(int)
    x0, y0, x1, y1 = (int(edge) for edge in edges)
    if x1 <= x0 or y1 <= y0:
        return None
    # The box of the resized mask: pixel centres of the photo, as they lie in the reduced one.
    columns = ((np.arange(x0, x1) + 0.5) / across - 0.5).astype(np.float32)
    rows = ((np.arange(y0, y1) + 0.5) / down - 0.5).astype(np.float32)
    at = np.meshgrid(columns, rows)
    crop = cv2.remap(soft, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Segment(
        label=label,
        score=score,
        box=(x0, y0, x1, y1),
        mask=(crop > SURE).astype(np.uint8),
        colour=picture.colour,
    )


def _coco(name: str, url: str) -> Any:
    try:
        return torch.hub.load_state_dict_from_url(
            url, progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (urllib.error.URLError, OSError):
        raise NoDetector(lacking(name)) from None


def _fill(network: Any, found: Any, source: str) -> None:
    """All of the network's tensors, or none: half a detector finds nothing."""
    wanted = network.state_dict()
    absent = [n for n in wanted if n not in found and not n.endswith("num_batches_tracked")]
    unlike = [n for n in wanted if n in found and wanted[n].shape != found[n].shape]
    if absent or unlike:
        name = (absent or unlike)[0]
        how = "lacks" if absent else "has another shape of"
        others = len(absent) + len(unlike) - 1
        more = f" and {others} more" if others else ""
        raise ValueError(
            f"--weights {source}: it {how} {name}{more}; weights of all of the detector are wanted"
        )
    network.load_state_dict(found, strict=False)
