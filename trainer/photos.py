"""Photos as they come: read safely, upright, in sRGB, or refused with a reason.

A folder of thousands of photos holds everything: files that were cut off, scans in CMYK, pictures
of 200 megapixels, animations, a text file named .jpg.  Each is looked at by its header before a
pixel is decoded, and what will not do is told in one line.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from trainer.errors import DatasetRefused

Bytes = NDArray[np.uint8]

MAX_MEGAPIXELS = 50.0
"""Of a photo that is decoded whole: 150 MB."""
REDUCIBLE = 8
"""A JPEG is decoded at 1/8 of its size with little memory, and nothing less."""


FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
"""What photos come in. Pillow knows more, such as EPS, which it hands to another program."""


class BadPhoto(ValueError):
    """A file that is no photo to work with; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded photo, upright."""

    rgb: Bytes
    """[H, W, 3] sRGB-encoded."""
    alpha: Bytes | None
    """[H, W] where the file has transparent pixels, else None."""
    size: tuple[int, int]
    """Width, height of the upright photo before it was reduced."""
    colour: float
    """Mean of largest minus smallest channel, of 255: 0 of a grayscale photo."""

    @property
    def reduced(self) -> bool:
        height, width = self.rgb.shape[:2]
        return (width, height) != self.size


def read(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """A photo's pixels: turned as its EXIF says, converted to sRGB, 8 bits.

    A JPEG beyond `max_megapixels` is decoded at a half, a quarter or an eighth of its size.

    Raises BadPhoto for what is no picture, cut off, animated or too large; OSError where storage
    cannot be read.
    """
    data = path.read_bytes()
    if not data:
        raise BadPhoto("the file is empty")
    with _opened(data) as image:
        _look(image, max_megapixels)
        size, alpha = image.size, None
        if image.format in ("JPEG", "MPO"):
            _reduce(image, max_megapixels)
        upright = _upright(image)
        if _is_transparent(upright):
            rgba = np.asarray(upright.convert("RGBA"))
            alpha = np.ascontiguousarray(rgba[..., 3])
            alpha = None if alpha.min() == 255 else alpha
        rgb = np.ascontiguousarray(np.asarray(_srgb(upright)))
    turned = (rgb.shape[1] > rgb.shape[0]) != (size[0] > size[1])
    return Picture(
        rgb=rgb,
        alpha=alpha,
        size=(size[1], size[0]) if turned else size,
        colour=colourfulness(rgb, alpha),
    )


def small_enough(path: Path) -> bytes:
    """A picture's bytes, once its header promises no more pixels than memory should hold.

    Nothing of a file that cannot be read. Raises DatasetRefused for too many.
    """
    try:
        data = path.read_bytes()
        with _opened(data) as image:
            pixels = image.width * image.height
    except (OSError, BadPhoto):
        return b""
    if pixels > MAX_MEGAPIXELS * 1e6:
        raise DatasetRefused(
            f"{path} has {pixels / 1e6:.0f} megapixels; at most {MAX_MEGAPIXELS:g}: remove it"
        )
    return data


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does; also one that cannot be read, or is cut off."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_formats()):
                return True
    except UnidentifiedImageError:
        return False
    except Exception:  # too large, or broken behind its first bytes
        return True


def is_opaque(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> bool:
    """Whether a photo has no transparent pixel; only one that may have some is decoded.

    False also for what `read` would refuse.
    """
    try:
        with _opened(path.read_bytes()) as image:
            _look(image, max_megapixels)
            if not _is_transparent(image):
                return True
            lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
            return lowest == 255
    except (BadPhoto, OSError):
        return False


def read_mask(path: Path, max_megapixels: float = 4 * MAX_MEGAPIXELS) -> NDArray[np.bool_]:
    """[H, W] a mask file: its alpha where it has one, else its brightness, at least half.

    Raises BadPhoto as `read` does.
    """
    data = path.read_bytes()
    if not data:
        raise BadPhoto("the file is empty")
    with _opened(data) as image:
        _look(image, max_megapixels)
        if _is_transparent(image):
            channel = np.asarray(image.convert("RGBA"))[..., 3]
        elif image.mode.startswith("I"):  # 16 bits, or ids: what is not 0
            return np.asarray(image) > 0
        else:
            channel = np.asarray(image.convert("L"))
    # A file that says 0 and 1 means nothing and all.
    return np.asarray(channel > 0 if channel.max(initial=0) == 1 else channel >= 128)


def colourfulness(rgb: Bytes, alpha: Bytes | None = None) -> float:
    """Mean of largest minus smallest channel, of 255, where it is not transparent.

    Some 65 thousand pixels are looked at.
    """
    step = max(1, int((rgb.shape[0] * rgb.shape[1] / 65536) ** 0.5))
    few = rgb[::step, ::step]
    spread = few.max(axis=2) - few.min(axis=2)
    if alpha is not None:
        spread = spread[alpha[::step, ::step] > 0]
    return float(spread.mean()) if spread.size else 0.0


# --- one file ------------------------------------------------------------------------------------


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image, not decoded yet; whatever a broken file does to its decoder is a BadPhoto."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # `_look` has the limit, and knows what can be reduced
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd metadata
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                yield image
    except BadPhoto:
        raise
    except UnidentifiedImageError:
        raise BadPhoto("it is no picture of a known format") from None
    except MemoryError:
        raise BadPhoto("this machine's memory does not hold it") from None
    except Exception as error:
        raise BadPhoto(_reason(error)) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    cut = any(word in text.lower() for word in ("truncated", "unexpected end", "not processed"))
    return f"it is cut off ({text[:80]})" if cut else f"it does not decode: {text[:100]}"


def _look(image: Image.Image, max_megapixels: float) -> None:
    """Refuse by the header alone."""
    width, height = image.size
    megapixels = width * height / 1e6
    most = max_megapixels
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        most *= REDUCIBLE**2  # progressive ones are decoded in memory, whatever the size wanted
    if megapixels > most:
        raise BadPhoto(
            f"it is too large: {width} x {height} are {megapixels:.0f} megapixels, "
            f"of a {image.format} at most {most:g}"
        )
    frames = getattr(image, "n_frames", 1)
    # The second picture of a camera's MPO is a preview or the other eye.
    if frames > 1 and image.format != "MPO":
        raise BadPhoto(f"it is animated or has pages: {frames} pictures, one is wanted")


def _reduce(image: Image.Image, max_megapixels: float) -> None:
    """Have the JPEG decoder give fewer pixels."""
    width, height = image.size
    for factor in (1, 2, 4, REDUCIBLE):
        if width * height / factor**2 <= max_megapixels * 1e6:
            break
    if factor > 1:
        image.draft(image.mode, (max(1, width // factor), max(1, height // factor)))


def _upright(image: Image.Image) -> Image.Image:
    """Decoded and turned as EXIF says; a broken EXIF says nothing."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB, through the photo's own profile where it has one."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        values = np.asarray(image, np.float64)
        most = 65535 if image.mode == "I" and values.max(initial=0) > 255 else 255
        scaled = np.nan_to_num(values * 255 / most).clip(0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        flat = image if image.mode == "CMYK" else image.convert("RGB")
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned: Any = ImageCms.profileToProfile(
                flat, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return turned  # type: ignore[no-any-return]
    if image.mode == "P" or _is_transparent(image):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
