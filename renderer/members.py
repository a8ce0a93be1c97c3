"""The members of a sample: one small file each, from arrays to bytes and back.

PNG goes through OpenCV alone: Pillow and imageio cut 16-bit RGB to 8 bits without a word.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PNG = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 4096  # along a side of a picture: what a job may ask for

PASSES = ("rgba", "depth", "normal", "albedo", "mask")
POINTS = ("points", "normals")

# dtype, channels
_IMAGES: Mapping[str, tuple[type[np.generic], int]] = {
    "rgba": (np.uint8, 4),
    "depth": (np.uint16, 1),
    "normal": (np.uint16, 3),
    "albedo": (np.uint8, 3),
    "mask": (np.uint8, 1),
}
_TO_FILE = {4: cv2.COLOR_RGBA2BGRA, 3: cv2.COLOR_RGB2BGR}
_FROM_FILE = {4: cv2.COLOR_BGRA2RGBA, 3: cv2.COLOR_BGR2RGB}
# The five passes of a 128 px view: level 3 takes 2.2 ms for 26.0 kB, 6 takes 3.6 ms for 24.1 kB.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def view_name(view: int, views: int) -> str:
    """`07`, or `007` when there are more than 100 views."""
    return f"{view:03d}" if views > 100 else f"{view:02d}"


def encode_image(kind: str, image: Array) -> bytes:
    """PNG bytes of one pass.

    kind   rgba, depth, normal, albedo or mask
    image  [H, W] or [H, W, C] of the pass's own type (see the format page)

    Raises ValueError for another type or shape: nothing is converted silently.
    """
    dtype, channels = _IMAGES[kind]
    wanted = "[H, W]" if channels == 1 else f"[H, W, {channels}]"
    fits = image.ndim == 2 if channels == 1 else image.ndim == 3 and image.shape[2] == channels
    if image.dtype != dtype or not fits:
        raise ValueError(
            f"{kind} must be {np.dtype(dtype)} of {wanted}, not {image.dtype} of {image.shape}"
        )
    if channels > 1:
        image = cv2.cvtColor(image, _TO_FILE[channels])
    return bytes(cv2.imencode(".png", image, _PNG)[1])


def encode_array(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def decode_member(name: str, data: bytes) -> Any:
    """What the bytes of one member hold; a handler for `webdataset.decode` as well.

    name     with or without the key: `00.depth.png`, `points.npy`, `json`
    returns  uint8 or uint16 [H, W] or [H, W, C] for a PNG, an array for .npy, a dict for JSON;
             None for an extension that is not ours, as webdataset's handlers do

    Raises ValueError, naming the member, when the bytes are not what the name says.
    """
    parts = name.split(".")
    if parts[-1] == "json":
        return json.loads(data)
    if parts[-1] == "npy":
        return _array(name, data)
    if parts[-1] != "png" or len(parts) < 2 or parts[-2] not in _IMAGES:
        return None
    dtype, channels = _IMAGES[parts[-2]]
    _refuse_large(name, data)
    # OpenCV has an error of its own for no bytes at all.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise ValueError(f"{name} does not decode as PNG")
    found = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != dtype or found != channels:
        raise ValueError(
            f"{name} is {image.dtype} x {found}, expected {np.dtype(dtype)} x {channels}"
        )
    return cv2.cvtColor(image, _FROM_FILE[channels]) if channels > 1 else image


def _array(name: str, data: bytes) -> Array:
    """The array, once its header promises just what is there: numpy would make room first."""
    file, format = io.BytesIO(data), np.lib.format
    read_magic: Any = format.read_magic  # numpy has no types for these
    read_header: Any = format.read_array_header_1_0
    try:
        if read_magic(file) != (1, 0):
            raise ValueError("not of version 1.0, as ours are")
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("of objects: reading it would run code")
        if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
            raise ValueError(f"{dtype} of {shape} are not the {len(data)} bytes that are there")
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{name} is no array: {error}") from None


def _refuse_large(name: str, data: bytes) -> None:
    """By a PNG's header (IHDR, its first chunk): some kB may promise many GB."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data[:8] == PNG and max(width, height) > MOST_PIXELS:
        raise ValueError(f"{name} has {width} x {height} pixels; at most {MOST_PIXELS} a side")


def pixels_hash(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of decoded arrays: names, types, shapes and values, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
