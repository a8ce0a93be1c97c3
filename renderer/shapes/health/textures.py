"""Pictures on a mesh: what their headers promise, before anything decodes them.

A file of some kB may promise a picture of many GB.  Blender keeps four bytes for each pixel, more
for what is not 8 bits, and knows no limit; so a texture that a worker's memory should not hold
makes its shape bad input.  Only headers are read here.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

from renderer.shapes.health.findings import Findings

MOST_MEGAPIXELS = 128
"""Of one texture; 8192 x 8192 are 67."""
ALL_MEGAPIXELS = 512
"""Of a shape's textures together: 2 GB in Blender."""
FORMATS = (
    "PNG", "JPEG", "MPO", "BMP", "DIB", "TGA", "TIFF", "WEBP", "DDS", "JPEG2000", "PSD", "SGI",
    "GIF", "PPM", "ICO",
)  # fmt: skip
# Blender reads these as well, and Pillow does not know how large they are.
UNKNOWN = {b"\x76\x2f\x31\x01": "OpenEXR", b"#?": "Radiance HDR", b"SDPX": "DPX", b"XPDS": "DPX",
           b"\x80\x2a\x5f\xd7": "Cineon"}  # fmt: skip


def check(pictures: Iterable[tuple[str, Path | bytes]], findings: Findings) -> None:
    """Look at a shape's pictures, each with the name it is called by; what is none is passed over.

    Raises OSError for one that cannot be read.
    """
    total = 0.0
    for name, picture in pictures:
        found = megapixels(picture)
        if isinstance(found, str):
            findings.problem(f"{name}: its size is not known before it is read ({found})")
        elif found > MOST_MEGAPIXELS:
            findings.problem(f"{name} has {found:.0f} megapixels; at most {MOST_MEGAPIXELS}")
        else:
            total += found
    if total > ALL_MEGAPIXELS:
        findings.problem(f"its textures have {total:.0f} megapixels; at most {ALL_MEGAPIXELS}")


def megapixels(picture: Path | bytes) -> float | str:
    """What the header promises; 0 for what is no picture, a format's name where it tells nothing.

    Raises OSError for a file that cannot be read.
    """
    from PIL import Image

    stream = io.BytesIO(picture) if isinstance(picture, bytes) else open(picture, "rb")  # noqa: SIM115
    with stream as file:
        head = file.read(4)
        for magic, format in UNKNOWN.items():
            if head.startswith(magic):
                return format
        file.seek(0)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is told in our words
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd metadata
                with Image.open(file, formats=FORMATS) as image:
                    return float(image.width * image.height / 1e6)
        except Exception:  # whatever a broken header does to its reader: Blender shows nothing
            return 0.0
        finally:
            Image.MAX_IMAGE_PIXELS = limit
