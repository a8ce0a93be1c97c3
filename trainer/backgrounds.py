"""What stands behind a shape: colours, gradients, noise, textures made by rule, or photos.

Every background is turned by a random angle: whichever way up it was made or taken, it says
nothing about the way up of what stands before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetRefused
from trainer.photos import small_enough

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
GRAIN = 16.0
"""Largest standard deviation of the noise on a background, of 255."""
_KEPT = 512  # photos; of 192 x 256 px they take 75 MB


class Backgrounds(Protocol):
    def draw(self, rng: np.random.Generator, side: int) -> Bytes:
        """[S, S, 3] sRGB-encoded, anew at every call; rng is the only source of chance."""
        ...


def backgrounds(folder: str) -> Backgrounds:
    """Photos of that folder, or made by rule where it is ""."""
    return Photos(folder) if folder else Procedural()


def over(rgba: Bytes, background: Bytes) -> Bytes:
    """[H, W, 3] a picture with straight alpha [H, W, 4] before a background [H, W, 3].

    round(alpha * colour + (1 - alpha) * background) on the encoded values, as browsers do it.
    """
    alpha = rgba[..., 3:].astype(np.uint32)
    mixed = alpha * rgba[..., :3] + (255 - alpha) * background
    return np.asarray((mixed + 127) // 255, np.uint8)


def placed(
    rgba: Bytes, side: int, *, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0
) -> Bytes:
    """[S, S, 4] a picture in the middle of a square, S its side; what does not fit is cut off.

    rgba    [H, W, 4] straight alpha
    scale   its size against its own pixels
    dx, dy  shift to the right and down, pixels of the square
    """
    height, width = rgba.shape[:2]
    # Colours are weighed by their alpha: what is transparent has none.
    weighed: NDArray[Any] = rgba.astype(np.float32)
    weighed[..., :3] *= weighed[..., 3:] / 255
    if scale < 1:  # by areas, so that nothing flickers
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        weighed = cv2.resize(weighed, (width, height), interpolation=cv2.INTER_AREA)
        scale = 1.0
    matrix = np.array(
        [
            [scale, 0, side / 2 + dx - scale * width / 2 + (scale - 1) / 2],
            [0, scale, side / 2 + dy - scale * height / 2 + (scale - 1) / 2],
        ]
    )
    out: NDArray[Any] = cv2.warpAffine(weighed, matrix, (side, side), flags=cv2.INTER_LINEAR)
    out[..., :3] /= np.maximum(out[..., 3:], 1e-3) / 255
    return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8)


class Photos:
    """Pieces of the photos of a folder and of the folders in it, mirrored and turned at random.

    Raises DatasetRefused where there is none.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.files = sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not self.files:
            raise DatasetRefused(
                f"no photos in {folder}: no file ends in {', '.join(SUFFIXES[:3])}; "
                'give another folder, or --backgrounds "" for textures made by rule'
            )
        self._read: dict[tuple[Path, int], Bytes] = {}

    def draw(self, rng: np.random.Generator, side: int) -> Bytes:
        photo = self._photo(self.files[rng.integers(len(self.files))], side)
        around = math.ceil(side * math.sqrt(2)) + 2
        height, width = photo.shape[:2]
        y, x = rng.integers(height - around + 1), rng.integers(width - around + 1)
        piece = photo[y : y + around, x : x + around]
        return _turned(piece[:, :: rng.choice((-1, 1))], rng, side)

    def _photo(self, file: Path, side: int) -> Bytes:
        """Three times as high or wide as what is drawn, so that a piece of it shows something."""
        if (file, side) not in self._read:
            data = np.frombuffer(small_enough(file), np.uint8)
            photo = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
            if photo is None:
                raise DatasetRefused(f"{file} is no picture that can be read; remove it")
            scale = 3 * side / min(photo.shape[:2])
            size = [max(3 * side, round(n * scale)) for n in photo.shape[1::-1]]
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            photo = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), size, interpolation=how)
            if len(self._read) >= _KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[file, side] = np.asarray(photo, np.uint8)
        return self._read[file, side]


class Procedural:
    """Two random colours mixed by a random pattern, half of the time over another such pair."""

    def draw(self, rng: np.random.Generator, side: int) -> Bytes:
        around = math.ceil(side * math.sqrt(2)) + 2
        image: NDArray[Any] = _coloured(rng, around)
        if rng.random() < 0.5:
            share = _pattern(rng, around)[..., None]
            image = share * image + (1 - share) * _coloured(rng, around)
        if rng.random() < 0.5:  # grain
            image = image + rng.normal(0, rng.uniform(0, GRAIN), image.shape)
        return _turned(np.clip(np.rint(image), 0, 255).astype(np.uint8), rng, side)


def _coloured(rng: np.random.Generator, side: int) -> Floats:
    """[S, S, 3] 0 to 255."""
    first, second = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    change = (second - first) * np.float32(rng.random())
    return np.asarray(first + change * _pattern(rng, side)[..., None], np.float32)


def _pattern(rng: np.random.Generator, side: int) -> Floats:
    """[S, S] 0 to 1."""
    names = tuple(PATTERNS)
    return PATTERNS[names[rng.integers(len(names))]](rng, side)


def _ramp(rng: np.random.Generator, side: int) -> Floats:
    """[S, S] -1 to 1 in some direction; its pixels' places along it."""
    angle = rng.uniform(0, 2 * math.pi)
    at = np.linspace(-1, 1, side, dtype=np.float32)
    ramp = math.cos(angle) * at + math.sin(angle) * at[:, None]
    return np.asarray(ramp / (abs(math.cos(angle)) + abs(math.sin(angle))), np.float32)


def _plain(rng: np.random.Generator, side: int) -> Floats:
    return np.zeros((side, side), np.float32)


def _gradient(rng: np.random.Generator, side: int) -> Floats:
    return np.asarray((_ramp(rng, side) + 1) / 2, np.float32)


def _spot(rng: np.random.Generator, side: int) -> Floats:
    """A bright place that fades away."""
    x, y = rng.uniform(-1, 1, 2)
    at = np.linspace(-1, 1, side, dtype=np.float32)
    away = (at - x) ** 2 + (at[:, None] - y) ** 2
    return np.asarray(np.exp(-away / rng.uniform(0.1, 1)), np.float32)


def _stripes(rng: np.random.Generator, side: int) -> Floats:
    wave = np.sin(rng.uniform(4, 40) * _ramp(rng, side) + rng.uniform(0, 2 * math.pi))
    return _edged(wave, rng)


def _checks(rng: np.random.Generator, side: int) -> Floats:
    at = np.linspace(-1, 1, side, dtype=np.float32)
    wave = np.sin(rng.uniform(4, 30) * at + rng.uniform(0, 6))
    return _edged(wave * np.sin(rng.uniform(4, 30) * at[:, None] + rng.uniform(0, 6)), rng)


def _edged(wave: NDArray[np.floating[Any]], rng: np.random.Generator) -> Floats:
    """-1 to 1 becomes 0 to 1, its slopes as gentle as they are, or edges."""
    return np.asarray(np.clip(wave * rng.choice((1.0, 8.0)), -1, 1) / 2 + 0.5, np.float32)


def _clouds(rng: np.random.Generator, side: int) -> Floats:
    """Noise at four scales."""
    total = np.zeros((side, side), np.float32)
    cells, roughness = int(rng.integers(2, 5)), rng.uniform(0.4, 0.8)
    for octave in range(4):
        grid = rng.random((cells << octave, cells << octave), np.float32)
        layer: NDArray[Any] = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += np.float32(roughness**octave) * layer
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / max(high - low, 1e-6), np.float32)


def _cells(rng: np.random.Generator, side: int) -> Floats:
    """Flat patches around random points."""
    points = int(rng.integers(4, 24))
    x, y = rng.uniform(0, side, (2, points)).astype(np.float32)
    at = np.arange(side, dtype=np.float32)
    away = (at[:, None, None] - y) ** 2 + (at[:, None] - x) ** 2  # [S, S, points]
    return np.asarray(rng.random(points, np.float32)[away.argmin(axis=2)], np.float32)


PATTERNS: Mapping[str, Callable[[np.random.Generator, int], Floats]] = {
    "plain": _plain,
    "gradient": _gradient,
    "spot": _spot,
    "stripes": _stripes,
    "checks": _checks,
    "clouds": _clouds,
    "cells": _cells,
}


def _turned(picture: Bytes, rng: np.random.Generator, side: int) -> Bytes:
    """The middle [S, S] of a larger square [N, N], N >= S sqrt(2), turned by any angle."""
    middle = (picture.shape[0] - 1) / 2
    matrix: NDArray[Any] = cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 360), 1.0)
    matrix[:, 2] += (side - 1) / 2 - middle
    turned = cv2.warpAffine(
        picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(turned, np.uint8)
