"""Members: from arrays to bytes and back, here and in other people's readers."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from renderer.members import (
    PASSES,
    decode_member,
    encode_array,
    encode_image,
    pixels_hash,
    view_name,
)

KINDS = {
    "rgba": (np.uint8, (4,)),
    "depth": (np.uint16, ()),
    "normal": (np.uint16, (3,)),
    "albedo": (np.uint8, (3,)),
    "mask": (np.uint8, ()),
}


@st.composite
def pictures(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    kind = draw(st.sampled_from(PASSES))
    dtype, channels = KINDS[kind]
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return kind, draw(hnp.arrays(dtype, (*size, *channels)))


def picture(kind: str, height: int = 7, width: int = 11) -> np.ndarray:
    dtype, channels = KINDS[kind]
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(1).integers(0, high, (height, width, *channels), dtype)


class TestPictures:
    @given(drawn=pictures())
    def test_every_value_survives(self, drawn: tuple[str, np.ndarray]) -> None:
        kind, image = drawn
        back = decode_member(f"00.{kind}.png", encode_image(kind, image))

        assert back.dtype == image.dtype and (back == image).all() and back.shape == image.shape

    @pytest.mark.parametrize("kind", ["depth", "normal"])
    def test_all_65536_values_of_16_bits_survive(self, kind: str) -> None:
        channels = KINDS[kind][1]
        image = np.arange(65536, dtype=np.uint16).reshape(256, 256, *[1] * len(channels))
        image = np.ascontiguousarray(np.broadcast_to(image, (256, 256, *channels)))

        assert (decode_member(f"x.12.{kind}.png", encode_image(kind, image)) == image).all()

    @pytest.mark.parametrize("kind", ["rgba", "albedo", "mask"])
    def test_pillow_reads_the_same_8_bit_pictures(self, kind: str) -> None:
        image = picture(kind)
        assert (np.asarray(Image.open(io.BytesIO(encode_image(kind, image)))) == image).all()

    def test_pillow_reads_the_same_16_bit_depth(self) -> None:
        image = picture("depth")
        with Image.open(io.BytesIO(encode_image("depth", image))) as opened:
            assert (np.asarray(opened).astype(np.int64) == image).all()

    def test_the_same_picture_gives_the_same_bytes(self) -> None:
        for kind in PASSES:
            assert encode_image(kind, picture(kind)) == encode_image(kind, picture(kind))

    @pytest.mark.parametrize("kind", PASSES)
    def test_another_type_is_refused_rather_than_converted(self, kind: str) -> None:
        for dtype in {np.uint8, np.uint16, np.int16, np.float32} - {KINDS[kind][0]}:
            with pytest.raises(ValueError, match=f"{kind} must be"):
                encode_image(kind, picture(kind).astype(dtype))

    @pytest.mark.parametrize("kind", PASSES)
    def test_another_shape_is_refused(self, kind: str) -> None:
        image = picture(kind)
        other = image[..., None] if image.ndim == 2 else image[..., :2]
        for wrong in (other, image[0], np.stack([image, image])):
            with pytest.raises(ValueError, match=f"{kind} must be"):
                encode_image(kind, np.ascontiguousarray(wrong))


class TestDecoding:
    def test_a_picture_of_another_kind_is_named_and_refused(self) -> None:
        with pytest.raises(ValueError, match=r"00\.depth\.png is uint8 x 1, expected uint16 x 1"):
            decode_member("00.depth.png", encode_image("mask", picture("mask")))
        with pytest.raises(ValueError, match=r"a\.00\.rgba\.png is uint8 x 3, expected uint8 x 4"):
            decode_member("a.00.rgba.png", encode_image("albedo", picture("albedo")))

    @pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"nonsense"])
    def test_what_is_no_png_is_named_and_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"00\.rgba\.png does not decode"):
            decode_member("00.rgba.png", data)

    @pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
    def test_a_png_that_was_cut_off_is_refused(self, keep: float) -> None:
        whole = encode_image("rgba", picture("rgba", 40, 40))
        with pytest.raises(ValueError, match=r"00\.rgba\.png"):
            decode_member("00.rgba.png", whole[: int(len(whole) * keep)])

    def test_a_damaged_png_is_refused(self) -> None:
        whole = bytearray(encode_image("normal", picture("normal", 40, 40)))
        whole[len(whole) // 2] ^= 0xFF
        with pytest.raises(ValueError, match=r"00\.normal\.png"):
            decode_member("00.normal.png", bytes(whole))

    def test_arrays_and_json_come_back(self) -> None:
        points = np.random.default_rng(0).random((50, 3), np.float32)

        assert (decode_member("points.npy", encode_array(points)) == points).all()
        assert decode_member("json", b'{"a": [1]}') == {"a": [1]}
        assert decode_member("key.json", b"[]") == []

    def test_an_array_of_objects_is_refused_as_reading_it_would_run_code(self) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}], object), allow_pickle=True)
        with pytest.raises(ValueError, match="would run code"):
            decode_member("points.npy", buffer.getvalue())

    @pytest.mark.parametrize("name", ["png", "00.jpg", "a.txt", "00.thumbnail.png", "rgba"])
    def test_what_is_not_ours_is_left_to_other_handlers(self, name: str) -> None:
        assert decode_member(name, b"anything") is None


class TestWebdataset:
    # webdataset leaves the files that it has read to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_decode_member_is_a_handler_that_keeps_16_bits(self, tmp_path: Path) -> None:
        webdataset = pytest.importorskip("webdataset")
        members = {f"00.{kind}.png": picture(kind) for kind in PASSES}
        points = np.random.default_rng(0).random((5, 3), np.float32)
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for name, data in [
                ("car-1.json", json.dumps({"key": "car-1"}).encode()),
                *[(f"car-1.{n}", encode_image(n.split(".")[1], a)) for n, a in members.items()],
                ("car-1.points.npy", encode_array(points)),
            ]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

        dataset = webdataset.WebDataset(
            str(tmp_path / "a.tar"), shardshuffle=False, empty_check=False
        ).decode(decode_member)
        (sample,) = list(dataset)

        for name, image in members.items():
            assert sample[name].dtype == image.dtype and (sample[name] == image).all()
        assert sample["json"] == {"key": "car-1"}
        assert (sample["points.npy"] == points).all()


class TestPixelsHash:
    def test_tells_names_types_shapes_and_values_apart(self) -> None:
        base = np.zeros((2, 3), np.uint8)
        changed = base.copy()
        changed[1, 2] = 1
        others = [
            {"a": base},
            {"b": base},
            {"a": base.astype(np.uint16)},
            {"a": base.reshape(3, 2)},
            {"a": changed},
            {"a": base, "b": base},
            {},
        ]
        assert len({pixels_hash(arrays) for arrays in others}) == len(others)

    def test_does_not_depend_on_order_or_on_how_memory_is_laid_out(self) -> None:
        a, b = picture("rgba"), picture("depth")

        assert pixels_hash({"a": a, "b": b}) == pixels_hash({"b": b, "a": a})
        assert pixels_hash({"b": b}) == pixels_hash({"b": np.asfortranarray(b)})

    def test_takes_an_empty_array(self) -> None:
        assert len(pixels_hash({"points.npy": np.empty((0, 3), np.float32)})) == 64


class TestViewNames:
    @pytest.mark.parametrize(
        ("view", "views", "name"),
        [(0, 1, "00"), (99, 100, "99"), (7, 101, "007"), (159, 160, "159")],
    )
    def test_two_digits_and_three_when_there_are_more_than_100(
        self, view: int, views: int, name: str
    ) -> None:
        assert view_name(view, views) == name
