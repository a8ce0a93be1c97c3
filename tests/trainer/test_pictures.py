"""Pictures that are no dataset of ours."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer import backgrounds, pictures
from trainer.errors import DatasetRefused


def put(folder: Path, count: int, value: int = 0, first: int = 0) -> None:
    """`count` pictures of 7 x 5, each of another colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        picture = np.full((5, 7, 3), (value, number, 100), np.uint8)  # blue, green, red
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    put(tmp_path / "zoo of mine" / "cats", 10, 1)
    put(tmp_path / "zoo of mine" / "ants", 20, 2)
    return tmp_path / "zoo of mine"


def test_folders_are_classes_in_the_order_of_their_names(classes: Path) -> None:
    found = pictures.pictures(str(classes), "train")

    assert found.classes == ("ants", "cats")
    assert found.targets == (0,) * 14 + (1,) * 7
    assert found.key(0).startswith("ants/")


def test_every_picture_is_in_one_split(classes: Path) -> None:
    parts = {split: pictures.pictures(str(classes), split) for split in pictures.SPLITS}

    keys = [part.key(n) for part in parts.values() for n in range(len(part))]

    assert {split: len(part) for split, part in parts.items()} == {"train": 21, "val": 3, "test": 6}
    assert len(set(keys)) == len(keys) == 30


def test_a_new_picture_moves_few_others_to_another_split(classes: Path) -> None:
    before = {split: pictures.pictures(str(classes), split) for split in pictures.SPLITS}
    where = {part.key(n): split for split, part in before.items() for n in range(len(part))}
    put(classes / "ants", 1, 2, first=99)

    after = {split: pictures.pictures(str(classes), split) for split in pictures.SPLITS}

    moved = [
        key
        for split, part in after.items()
        for key in map(part.key, range(len(part)))
        if where.get(key, split) != split
    ]
    assert len(moved) <= 2


def test_colours_are_red_green_blue(classes: Path) -> None:
    found = pictures.pictures(str(classes), "train")

    image = found.image(0)

    number = int(Path(found.key(0)).stem)
    assert image.shape == (5, 7, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [100, number, 2]


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    put(tmp_path, 10)

    found = pictures.pictures(str(tmp_path), "train")

    assert found.classes == () and found.targets == (0,) * 7


def test_a_folder_that_is_split_stays_so(tmp_path: Path) -> None:
    put(tmp_path / "train" / "a", 4)
    put(tmp_path / "train" / "b", 3)
    put(tmp_path / "val" / "a", 2, first=50)
    put(tmp_path / "val" / "b", 1, first=50)

    train, val, test = (pictures.pictures(str(tmp_path), split) for split in pictures.SPLITS)

    assert train.targets == (0, 0, 0, 0, 1, 1, 1) and train.classes == ("a", "b")
    assert val.targets == test.targets == (0, 0, 1)  # val stands for the test that is missing


def test_grey_transparent_and_16_bit_pictures_are_read_as_they_look(tmp_path: Path) -> None:
    grey = np.full((4, 6), 77, np.uint8)
    deep = np.full((4, 6, 3), 257 * 30, np.uint16)
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[..., 2], clear[..., 3] = 200, 128
    for number, picture in enumerate((grey, deep, clear)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        for copy in range(3):  # so that each is in training at least once
            cv2.imwrite(str(tmp_path / f"{number}-{copy}.png"), picture)

    found = pictures.pictures(str(tmp_path), "train")
    seen = {found.key(n)[0]: found.image(n) for n in range(len(found))}

    assert seen["0"].shape == (4, 6, 3) and (seen["0"] == 77).all()
    assert seen["1"].dtype == np.uint8 and (seen["1"] == 30).all()
    assert seen["2"].shape == (4, 6, 4) and seen["2"][0, 0].tolist() == [200, 0, 0, 128]


def test_a_broken_picture_is_refused_by_name(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    found = pictures.pictures(str(tmp_path), "train")

    with pytest.raises(DatasetRefused, match=r"\d.jpg is no picture"):
        found.image(0)


def test_a_picture_of_200_megapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")))
    )
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    found = pictures.pictures(str(tmp_path), "train")
    behind = backgrounds.backgrounds(str(tmp_path))

    with pytest.raises(DatasetRefused, match=r"\d.png has 200 megapixels; at most 50: remove it"):
        found.image(0)
    with pytest.raises(DatasetRefused, match=r"\d.png has 200 megapixels"):
        behind.draw(np.random.default_rng(0), 16)


@pytest.mark.parametrize("name", ["LSUN", "LSUNClass"])
def test_a_dataset_that_would_be_unpickled_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetRefused, match=r"unpickles what it finds|no dataset"):
        pictures.pictures(f"{name}:{tmp_path}", "train")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nowhere", "give a folder of pictures"),
        ("NoSuchSet:{root}", "no dataset 'NoSuchSet' in torchvision.datasets"),
        ("CIFAR10:{root}", "put cifar-10-batches-py there, unpacked from https://"),
        ("MNIST:{root}", "no MNIST in .*put MNIST's files there"),
        ("STL10:{root}", "put stl10_binary there"),
        ("Caltech101:{root}", "not split into training and test"),
        ("{root}", "no pictures for train in .*put .png, .jpg, .jpeg files there"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(tmp_path: Path, address: str, told: str) -> None:
    with pytest.raises(DatasetRefused, match=told) as caught:
        pictures.pictures(address.format(root=tmp_path), "train")

    assert "\n" not in str(caught.value)
    assert "download=" not in str(caught.value)


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(urllib.request, "urlopen", fetched)

    with pytest.raises(DatasetRefused):
        pictures.pictures(f"CIFAR10:{tmp_path}", "train")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def mnist(tmp_path: Path) -> str:
    """torchvision's MNIST, its files as they are distributed but with few digits."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", 20), ("t10k", 8)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        images[:, 0, 0] = labels
        (raw / f"{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes()
        )
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + labels.tobytes()
        )
    return f"MNIST:{tmp_path}"


def test_a_dataset_of_torchvision_is_read_by_its_name(mnist: str) -> None:
    train, test = pictures.pictures(mnist, "train"), pictures.pictures(mnist, "test")

    assert (len(train), len(test)) == (20, 8)
    assert train.targets == (*range(10), *range(10))
    assert len(train.classes) == 10 and train.classes[3] == "3 - three"
    image = train.image(13)
    assert image.shape == (28, 28, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [3, 3, 3]
    # The paper has no validation split: val is the test set, and nothing is chosen by it.
    assert pictures.fingerprint(pictures.pictures(mnist, "val")) == pictures.fingerprint(test)


def test_a_fingerprint_changes_with_names_and_classes(classes: Path) -> None:
    before = pictures.fingerprint(pictures.pictures(str(classes), "train"))
    assert before == pictures.fingerprint(pictures.pictures(str(classes), "train"))

    (classes / "cats").rename(classes / "dogs")

    assert pictures.fingerprint(pictures.pictures(str(classes), "train")) != before


def test_an_address_is_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert pictures.absolute("") == ""
    assert pictures.absolute("my photos") == str(tmp_path / "my photos")
    assert pictures.absolute("CIFAR10:data") == f"CIFAR10:{tmp_path / 'data'}"
    assert pictures.absolute(f"MNIST:{tmp_path}") == f"MNIST:{tmp_path}"
    (tmp_path / "odd:name").mkdir()
    assert pictures.absolute("odd:name") == str(tmp_path / "odd:name")
