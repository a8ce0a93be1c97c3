"""Small pictures made by rule, and a PNG writer whose bytes are the same everywhere."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.solid import Floats

STORED = 65535  # bytes: the longest block that deflate stores as it is


@dataclass(frozen=True, eq=False)
class Texture:
    pixels: NDArray[np.uint8]
    """[H, W, 3], sRGB, top row first."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of [H, W, 3] pixels, stored without compression.

    Compressed bytes differ between zlib and its successors, and a shape's hash covers its
    textures: the same shape must have the same hash on every machine.
    """
    height, width = pixels.shape[:2]
    raw = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0))).tobytes()  # 0: rows unfiltered
    blocks = [raw[i : i + STORED] for i in range(0, len(raw), STORED)]
    packed = b"\x78\x01"
    for i, block in enumerate(blocks, start=1):
        size = len(block)
        packed += struct.pack("<BHH", i == len(blocks), size, size ^ 0xFFFF) + block
    packed += struct.pack(">I", zlib.adler32(raw))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def rgb(color: str) -> Floats:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)


def _texture(pixels: Floats) -> Texture:
    return Texture(np.clip(np.round(pixels), 0, 255).astype(np.uint8))


def _waves(dice: Dice, size: int, count: int) -> Floats:
    """A line of `size` numbers about 0 that repeats without a seam."""
    x = np.arange(size) * (2 * math.pi / size)
    out = np.zeros(size)
    for k in range(1, count + 1):
        out += dice.between(-1, 1) * np.sin(k * x + dice.between(0, 2 * math.pi)) / k
    return out


def wood_texture(dice: Dice, light: str, dark: str, size: int = 64) -> Texture:
    """Grain along u; repeats in both directions."""
    bend = _waves(dice, size, 2)[None, :] * dice.between(0.2, 0.5)
    across = np.arange(size)[:, None] / size
    rings = dice.whole(4, 7)
    phase = (across + 0.06 * bend) * rings + _waves(dice, size, 3)[:, None] * 0.25
    grain = 0.5 + 0.5 * np.sin(2 * math.pi * phase)
    fibre = dice.noise(size, 1) * 0.6 + 0.4 * dice.noise(size, size)
    mix = np.clip(0.55 * grain**2 + 0.35 * fibre, 0, 1)[..., None]
    return _texture(rgb(light) * (1 - mix) + rgb(dark) * mix)


def cloth_texture(dice: Dice, color: str, size: int = 64) -> Texture:
    """Plain, checked or striped cloth with a visible weave; repeats in both directions."""
    row, column = np.mgrid[0:size, 0:size]
    weave = 0.90 + 0.08 * ((row + column) % 2) + 0.06 * (dice.noise(size, size) - 0.5)
    base = np.broadcast_to(rgb(color), (size, size, 3)).copy()
    other = rgb(color) * 0.55 if rgb(color).mean() > 90 else rgb(color) * 0.5 + 110
    pattern = dice.pick(["plain", "plain", "plain", "stripes", "checks"])
    if pattern != "plain":
        band = size // dice.pick([2, 4])
        share = dice.between(0.2, 0.5)
        lines = (column % band < share * band).astype(float)
        if pattern == "checks":
            lines = (lines + (row % band < share * band)) / 2
        base += lines[..., None] * (other - base)
    return _texture(base * weave[..., None])


def bands_texture(colors: Sequence[str], shares: Sequence[float], size: int = 64) -> Texture:
    """Horizontal bands, the first at the top."""
    edges = np.cumsum(shares) / sum(shares)
    which = np.searchsorted(edges, (np.arange(size) + 0.5) / size)
    rows = np.array([rgb(color) for color in colors])[which]
    return _texture(np.broadcast_to(rows[:, None], (size, size, 3)))


# A 3 x 5 letter is five rows of three bits; enough to look like writing from afar.
LETTERS = {
    "A": "25755",
    "B": "65656",
    "C": "34443",
    "E": "74647",
    "F": "74644",
    "H": "55755",
    "K": "55655",
    "L": "44447",
    "M": "57755",
    "N": "57555",
    "P": "65644",
    "R": "65655",
    "S": "34216",
    "T": "72222",
    "U": "55557",
    "V": "55552",
    "X": "55255",
    "Z": "71247",
    "0": "75557",
    "1": "26227",
    "2": "71747",
    "3": "71717",
    "4": "55711",
    "5": "74717",
    "6": "74757",
    "7": "71111",
    "8": "75757",
    "9": "75717",
}


def written(pixels: Floats, text: str, top: int, left: int, scale: int, color: str) -> None:
    """Draws a line of text into [H, W, 3] pixels."""
    for place, letter in enumerate(text):
        for row, bits in enumerate(LETTERS[letter]):
            for column in range(3):
                if int(bits) >> (2 - column) & 1:
                    y, x = top + row * scale, left + (4 * place + column) * scale
                    pixels[y : y + scale, x : x + scale] = rgb(color)


def word(dice: Dice, letters: int) -> str:
    return "".join(dice.pick(sorted(LETTERS)[10:]) for _ in range(letters))


def number_plate(dice: Dice) -> Texture:
    """A car's number plate, 96 x 24."""
    back, ink = dice.pick([("#f4f4f0", "#15171c"), ("#f2c83a", "#15171c"), ("#f4f4f0", "#1c3f94")])
    pixels = np.broadcast_to(rgb(back), (24, 96, 3)).copy()
    pixels[[0, -1]] = pixels[:, [0, -1]] = rgb(ink)
    text = word(dice, 2) + "".join(dice.pick("0123456789") for _ in range(4))
    written(pixels, text, 5, 13, 3, ink)
    return _texture(pixels)


def label_texture(dice: Dice, back: str, ink: str, accent: str, size: int = 96) -> Texture:
    """A product's label: bands, a name, a round or square mark, small print."""
    pixels = np.broadcast_to(rgb(back), (size, size, 3)).copy()
    edge = dice.whole(5, 9)
    pixels[:edge] = pixels[-edge:] = rgb(accent)
    row, column = np.mgrid[0:size, 0:size]
    middle, radius = size * 0.33, size * dice.between(0.11, 0.17)
    away_y, away_x = np.abs(row - middle), np.abs(column - size / 2 + 0.5)
    mark = dice.pick(["round", "square", "diamond"])
    if mark == "round":
        inside = away_y**2 + away_x**2 < radius**2
    else:
        inside = (np.maximum(away_y, away_x) if mark == "square" else away_y + away_x) < radius
    pixels[inside] = rgb(accent)
    letters = dice.whole(4, 5)
    scale = 4
    written(
        pixels,
        word(dice, letters),
        int(size * 0.56),
        (size - (4 * letters - 1) * scale) // 2,
        scale,
        ink,
    )
    for line in range(2):
        top = int(size * 0.82) + 5 * line
        pixels[top : top + 2, size // 5 : size - size // 5] = rgb(ink)
    return _texture(pixels)


def screen_texture(dice: Dice, width: int = 128, height: int = 80) -> Texture:
    """What a computer shows: a sky and hills, or windows with lines of text."""
    up = np.linspace(1, 0, height)[:, None, None]
    high, low = dice.pick(
        [
            ("#1d3f7a", "#8cc4e8"),
            ("#43276b", "#f2a65a"),
            ("#0f4d4a", "#a8dcc0"),
            ("#20242b", "#5b6b80"),
        ]
    )
    pixels = rgb(low) + (rgb(high) - rgb(low)) * up + np.zeros((height, width, 3))
    column = np.arange(width)
    if dice.chance(0.5):
        for level, color in ((0.55, "#3f6b58"), (0.75, "#27483e")):
            ridge = height * (level + 0.12 * _waves(dice, width, 3))
            pixels[np.arange(height)[:, None] > ridge[column][None, :]] = rgb(color)
    else:
        for _ in range(dice.whole(1, 2)):
            left, top = dice.whole(6, width // 3), dice.whole(5, height // 4)
            right, bottom = (
                left + dice.whole(width // 3, width // 2),
                top + dice.whole(height // 3, height // 2),
            )
            pixels[top:bottom, left:right] = rgb("#f4f5f6")
            pixels[top : top + 5, left:right] = rgb(dice.pick(["#2f6fc1", "#3b3f45", "#c4553a"]))
            for line in range(top + 9, bottom - 3, 5):
                end = left + 4 + int((right - left - 8) * dice.between(0.4, 1.0))
                pixels[line : line + 2, left + 4 : end] = rgb("#6b7178")
    pixels[-6:] = rgb("#20242b")
    for i in range(dice.whole(4, 7)):
        pixels[-5:-1, 40 + 7 * i : 44 + 7 * i] = rgb(
            dice.pick(["#3aa565", "#d9433b", "#f0b429", "#2f7fc1"])
        )
    return _texture(pixels)
