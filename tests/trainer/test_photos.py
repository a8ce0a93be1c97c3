"""Photos are read safely, upright and in sRGB, or refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from trainer import photos
from trainer.photos import BadPhoto

COLOURS = np.zeros((7, 11, 3), np.uint8)
COLOURS[:3], COLOURS[3:, :5], COLOURS[3:, 5:] = (200, 30, 40), (20, 160, 60), (30, 50, 220)


@pytest.fixture
def save(tmp_path: Path):
    def save(name: str, image: Image.Image, **more) -> Path:
        path = tmp_path / name
        image.save(path, **more)
        return path

    return save


def large_png(width: int, height: int) -> bytes:
    """A PNG whose header says so, and which has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


def test_a_png_comes_as_it_is(save):
    picture = photos.read(save("a.png", Image.fromarray(COLOURS)))

    np.testing.assert_array_equal(picture.rgb, COLOURS)
    assert (picture.alpha, picture.size, picture.reduced) == (None, (11, 7), False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(save, orientation):
    # What a viewer must do to show it upright, after the EXIF standard, tag 0x0112.
    stored_as = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save("a.png", Image.fromarray(np.ascontiguousarray(stored_as(COLOURS))), exif=exif)

    picture = photos.read(path)

    np.testing.assert_array_equal(picture.rgb, COLOURS)
    assert picture.size == (11, 7)


def test_transparency_is_kept_aside(save):
    rgba = np.dstack([COLOURS, np.full((7, 11), 255, np.uint8)])
    rgba[2, 3, 3] = 90

    picture = photos.read(save("a.png", Image.fromarray(rgba)))

    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])
    np.testing.assert_array_equal(picture.rgb, COLOURS)


def test_an_opaque_alpha_channel_is_none(save):
    rgba = np.dstack([COLOURS, np.full((7, 11), 255, np.uint8)])

    assert photos.read(save("a.png", Image.fromarray(rgba))).alpha is None


def test_a_palette_with_a_transparent_colour_has_alpha(save):
    image = Image.fromarray((COLOURS[..., 0] > 100).astype(np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 50])

    picture = photos.read(save("a.png", image, transparency=0))

    np.testing.assert_array_equal(picture.alpha == 255, COLOURS[..., 0] > 100)


def test_cmyk_becomes_rgb(save):
    path = save("a.jpg", Image.fromarray(COLOURS).convert("CMYK").resize((110, 70)), quality=95)

    picture = photos.read(path)

    red = picture.rgb[10, 50].astype(int)
    assert red[0] - red[1:].max() > 100


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "F", "I", "LA"])
def test_grayscale_of_any_depth_has_no_colour(save, mode):
    levels = np.arange(77, dtype=np.float64).reshape(7, 11) / 76
    values = {
        "L": (levels * 255).astype(np.uint8),
        "1": levels > 0.5,
        "I;16": (levels * 65535).astype(np.uint16),
        "F": (levels * 255).astype(np.float32),
        "I": (levels * 65535).astype(np.int32),
    }
    image = (
        Image.fromarray(values["L"]).convert("LA")
        if mode == "LA"
        else Image.fromarray(values[mode])
    )
    assert image.mode == mode

    picture = photos.read(save("a.tif", image))

    assert picture.colour == 0
    assert picture.rgb.max() == 255 and picture.rgb.min() <= 1


def test_a_gray_photo_stored_as_rgb_has_no_colour(save):
    gray = np.repeat(COLOURS[..., :1], 3, axis=2)

    assert photos.read(save("a.jpg", Image.fromarray(gray))).colour < 1


def test_colours_count_only_where_something_is_seen(save):
    rgba = np.dstack([COLOURS, np.zeros((7, 11), np.uint8)])
    rgba[0, 0] = (250, 0, 0, 255)

    assert photos.read(save("a.png", Image.fromarray(rgba))).colour == 250


def test_another_colour_space_is_converted(save):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    path = save("a.png", Image.fromarray(COLOURS), icc_profile=lab.tobytes())

    np.testing.assert_allclose(photos.read(path).rgb, COLOURS, atol=1)


def test_a_broken_colour_profile_is_left_out(save):
    path = save("a.png", Image.fromarray(COLOURS), icc_profile=b"no profile at all")

    np.testing.assert_array_equal(photos.read(path).rgb, COLOURS)


def test_a_jpeg_beyond_the_limit_is_read_at_a_fraction(save):
    path = save("a.jpg", Image.new("RGB", (402, 201), (200, 30, 40)))

    picture = photos.read(path, max_megapixels=0.01)  # 80802 pixels / 16 are 5050

    assert picture.rgb.shape == (51, 101, 3)
    assert (picture.size, picture.reduced) == ((402, 201), True)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_200_megapixels_are_refused_or_reduced_by_their_header(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        path.write_bytes(large_png(20000, 10000))
        with pytest.raises(
            BadPhoto, match=r"20000 x 10000 are 200 megapixels, of a PNG at most 50"
        ):
            photos.read(path)
    else:
        Image.new("L", (20000, 10000), 90).save(path, quality=20)
        assert photos.read(path).rgb.shape == (5000, 10000, 3)


def test_a_progressive_jpeg_beyond_the_limit_is_refused(save):
    path = save("a.jpg", Image.new("RGB", (402, 201)), progressive=True)

    with pytest.raises(BadPhoto, match="too large"):
        photos.read(path, max_megapixels=0.01)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_an_animation_is_refused(save, suffix):
    frames = [Image.fromarray(np.roll(COLOURS, n, axis=1)) for n in range(3)]
    path = save(f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])

    with pytest.raises(BadPhoto, match="3 pictures, one is wanted"):
        photos.read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
def test_a_photo_that_is_cut_off_is_refused(save, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (70, 110, 3), np.uint8)
    path = save(f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(BadPhoto, match=r"it (is cut off|does not decode)"):
        photos.read(path)


@pytest.mark.parametrize("data", [b"hello, this is a text\n" * 9, b"\xff\xd8\xff\xe0", bytes(500)])
def test_what_is_no_picture_is_refused(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)

    with pytest.raises(BadPhoto, match=r"known format|cut off|does not decode"):
        photos.read(tmp_path / "a.jpg")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()

    with pytest.raises(BadPhoto, match="empty"):
        photos.read(tmp_path / "a.jpg")


def test_whatever_happens_to_a_files_bytes_there_is_a_picture_or_a_reason(tmp_path):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).resize((44, 28)).save(buffer, "JPEG", exif=exif)
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        data = bytearray(buffer.getvalue())
        for at in rng.integers(len(data), size=rng.integers(1, 12)):
            data[at] = rng.integers(256)
        (tmp_path / "a.jpg").write_bytes(data)
        try:
            assert photos.read(tmp_path / "a.jpg").rgb.ndim == 3
        except BadPhoto:
            refused += 1
    assert 0 < refused < 150


def test_the_limit_of_pillow_is_as_it_was(save):
    before = Image.MAX_IMAGE_PIXELS
    photos.read(save("a.png", Image.fromarray(COLOURS)))

    assert before == Image.MAX_IMAGE_PIXELS


# --- masks ---------------------------------------------------------------------------------------

INSIDE = COLOURS[..., 1] > 100


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(INSIDE),
        Image.fromarray(INSIDE.astype(np.uint8)),
        Image.fromarray(np.where(INSIDE, 200, 90).astype(np.uint8)),
        Image.fromarray(INSIDE.astype(np.uint16) * 7),
        Image.fromarray(np.dstack([COLOURS, INSIDE * np.uint8(255)])),
        Image.fromarray(np.repeat(INSIDE[..., None] * np.uint8(255), 3, axis=2)),
    ],
    ids=["1 bit", "0 and 1", "at least half", "16 bits", "alpha", "white"],
)
def test_a_mask_is_told_by_alpha_or_brightness(save, image):
    np.testing.assert_array_equal(photos.read_mask(save("m.png", image)), INSIDE)


def test_what_pillow_would_hand_to_another_program_is_no_photo(tmp_path):
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    )

    assert not photos.is_picture(tmp_path / "a.jpg")
    with pytest.raises(BadPhoto, match="known format"):
        photos.read(tmp_path / "a.jpg")
