"""Plain files, as they lie in the shards: a folder per split and sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renderer import storage
from renderer.shards import Dataset, Sample

README = """\
# Plain files

    <split>/<key>/sample.json        what is known of the sample: shape, cameras, lights
    <split>/<key>/00.rgba.png        view 0: 8 bits, sRGB, straight alpha
    <split>/<key>/00.depth.png       16 bits; depth = value * depth_scale, 0 = nothing hit
    <split>/<key>/00.normal.png      16 bits; n = value / 32767.5 - 1, world frame
    <split>/<key>/00.albedo.png      8 bits, sRGB
    <split>/<key>/00.mask.png        part ids, 0 = background
    <split>/<key>/points.npy         float32 [N, 3]
    <split>/<key>/normals.npy        float32 [N, 3]

The PNG and NPY files are the shards' own bytes. Pillow and imageio cut 16-bit RGB to 8 bits: read
normals with OpenCV (cv2.IMREAD_UNCHANGED, then BGR to RGB) or `renderer.shards.decode_member`.
"""


def check(dataset: Dataset) -> None:
    """Everything can be written as files."""


def place(sample: Sample, split: str, shape: Mapping[str, Any]) -> str:
    return f"{split}/{sample.key}"


def write(sample: Sample, split: str, folder: Path, shape: Mapping[str, Any]) -> None:
    for name in sample.members:
        data = sample.read(name)
        if name == "json":
            (folder / "sample.json").write_bytes(storage.readable_json(json.loads(data)))
        else:
            (folder / name).write_bytes(data)
