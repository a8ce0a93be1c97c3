"""Pictures that are no dataset of ours: a folder of them, or a dataset that torchvision reads.

    photos/                 flat, or with a folder per class
    photos/train/ ...       the same, already split
    CIFAR10:data            torchvision.datasets.CIFAR10, its files in the folder `data`

Nothing is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import os
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.backgrounds import SUFFIXES
from trainer.errors import DatasetRefused
from trainer.photos import small_enough

Bytes = NDArray[np.uint8]

SPLITS = ("train", "val", "test")
UNPICKLED = ("LSUN", "LSUNClass")
"""Datasets of torchvision that keep an index beside the pictures, as a pickle that they trust."""
# Of the SHA-256 order of a class's file names, as the renderer cuts the shapes of a category.
_CUTS = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}


class Pictures(Protocol):
    """Pictures of one split, by number."""

    classes: tuple[str, ...]
    """Names of the classes; empty where nothing is known about them."""
    targets: tuple[int, ...]
    """The class of every picture; zeros where nothing is known."""

    def __len__(self) -> int: ...

    def key(self, number: int) -> str: ...

    def image(self, number: int) -> Bytes:
        """[H, W, 3] or, with straight alpha, [H, W, 4]; sRGB-encoded."""
        ...


def pictures(address: str, split: str) -> Pictures:
    """What an address names.

    Raises DatasetRefused where nothing is there, with what to put where; ValueError for a split
    other than train, val and test.
    """
    if split not in SPLITS:
        raise DatasetRefused(f"no split {split!r} in {address}; there are {', '.join(SPLITS)}")
    if Path(address).is_dir():
        return Folder(address, split)
    name, colon, root = address.partition(":")
    if colon and root:
        return Torchvision(name, root, split)
    raise DatasetRefused(
        f"no pictures at {address!r}: give a folder of pictures, or a name of torchvision.datasets "
        "and the folder of its files, such as CIFAR10:data"
    )


def absolute(address: str) -> str:
    """The same address from wherever a program is started; "" stays."""
    name, colon, root = address.partition(":")
    if colon and name.isidentifier() and not Path(address).exists():
        return f"{name}:{os.path.abspath(Path(root).expanduser())}"
    return os.path.abspath(Path(address).expanduser()) if address else ""


def fingerprint(found: Pictures) -> str:
    """SHA-256 of the keys and classes: what a run records of pictures that have no index."""
    keys = [found.key(number) for number in range(len(found))]
    text = json.dumps([found.classes, found.targets, keys], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Folder:
    """A folder of pictures; the folders in it are classes.

    With folders `train`, `val` or `test` it is already split; one of val and test stands for the
    other where that is missing.  Otherwise every class is cut 70/10/20 in the order of the SHA-256
    of the files' names.
    """

    def __init__(self, root: str, split: str):
        self.root = Path(root)
        top = self.root
        split_already = (self.root / "train").is_dir()
        if split_already:
            spare = {"val": "test", "test": "val"}.get(split, split)
            top = self.root / (split if (self.root / split).is_dir() else spare)
        folders = sorted(p for p in top.iterdir() if p.is_dir()) if top.is_dir() else []
        groups = {folder.name: _files(folder) for folder in folders}
        groups = {name: files for name, files in groups.items() if files}
        self.classes = tuple(groups)
        if not groups:
            groups = {"": _files(top)}
        found = [
            (file, target)
            for target, files in enumerate(groups.values())
            for file in (files if split_already else _part(files, split))
        ]
        if not found:
            raise DatasetRefused(
                f"no pictures for {split} in {root}: put {', '.join(SUFFIXES[:3])} files there, "
                "flat or in a folder per class, at least three of each"
            )
        self.files = tuple(file for file, _ in found)
        self.targets = tuple(target for _, target in found)

    def __len__(self) -> int:
        return len(self.files)

    def key(self, number: int) -> str:
        return self.files[number].relative_to(self.root).as_posix()

    def image(self, number: int) -> Bytes:
        # An alpha channel is kept; a photo is turned upright as its EXIF says only without that.
        file = self.files[number]
        flags = cv2.IMREAD_UNCHANGED if file.suffix.lower() == ".png" else cv2.IMREAD_COLOR
        data = np.frombuffer(small_enough(file), np.uint8)
        image = cv2.imdecode(data, flags) if len(data) else None
        if image is None:
            raise DatasetRefused(f"{file} is no picture that can be read; remove it")
        if image.dtype == np.uint16:
            image = (image // 257).astype(np.uint8)
        how = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
        return np.asarray(
            cv2.cvtColor(image, how[image.ndim if image.ndim == 2 else image.shape[2]])
        )


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


def _part(files: list[Path], split: str) -> list[Path]:
    ordered = sorted(files, key=lambda file: hashlib.sha256(file.name.encode()).digest())
    first, last = (round(share * len(files)) for share in _CUTS[split])
    return sorted(ordered[first:last])


class Torchvision:
    """A dataset of torchvision whose files are on this machine.

    torchvision knows no validation split of most of them: then val is the same as test.
    CIFAR's files are pickles; torchvision opens them after it has checked their MD5.
    """

    def __init__(self, name: str, root: str, split: str):
        import torchvision.datasets

        if name in UNPICKLED:
            raise DatasetRefused(f"{name} of torchvision unpickles what it finds: give a folder")
        kind = getattr(torchvision.datasets, name, None)
        if not (inspect.isclass(kind) and name in torchvision.datasets.__all__):
            raise DatasetRefused(f"no dataset {name!r} in torchvision.datasets, such as CIFAR10")
        self.address = f"{name}:{root}"
        self.data: Any = _opened(kind, root, split)
        if not len(self.data):
            raise DatasetRefused(f"{self.address} has no pictures for {split}")
        targets = next(
            (
                getattr(self.data, n)
                for n in ("targets", "labels", "_labels")
                if hasattr(self.data, n)
            ),
            None,
        )
        if targets is None:
            targets = [0] * len(self.data)
        self.targets = tuple(int(target) for target in targets)
        known = len(set(self.targets)) > 1
        count = max(self.targets) + 1 if known else 0
        names = getattr(self.data, "classes", None) or range(count)
        self.classes = tuple(str(n) for n in names) if known else ()

    def __len__(self) -> int:
        return len(self.data)

    def key(self, number: int) -> str:
        return f"{self.address}/{number}"

    def image(self, number: int) -> Bytes:
        return np.asarray(self.data[number][0].convert("RGB"), np.uint8)


def _opened(kind: Any, root: str, split: str) -> Any:
    """The dataset, whatever it calls its splits."""
    parameters = inspect.signature(kind.__init__).parameters
    tries: list[dict[str, Any]]
    if "train" in parameters:
        tries = [{"train": split == "train"}]
    elif "split" in parameters:
        names = {
            "train": ("train", "trainval"),
            "val": ("val", "valid", "test"),
            "test": ("test", "val", "valid"),
        }
        tries = [{"split": word} for word in names[split]]
    else:
        raise DatasetRefused(
            f"torchvision.datasets.{kind.__name__} is not split into training and test; "
            "give its pictures as a folder"
        )
    if "download" in parameters:
        tries = [{**arguments, "download": False} for arguments in tries]
    reasons = []
    for arguments in tries:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # stdout is for results
                return kind(root, **arguments)
        except (RuntimeError, ValueError, OSError, TypeError, KeyError) as error:
            # Torchvision would like to download, which is not what is wanted here.
            told = str(error).partition("You can use download")[0].strip(" .\n")
            reasons.append(told.splitlines()[0] if told else type(error).__name__)
    files = getattr(kind, "base_folder", None) or f"{kind.__name__}'s files"
    source = getattr(kind, "url", None)
    raise DatasetRefused(
        f"no {kind.__name__} in {root} ({reasons[0]}): put {files} there"
        + (f", unpacked from {source}" if isinstance(source, str) else "")
        + "; nothing is fetched"
    )
