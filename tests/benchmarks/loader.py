"""Images per second that reach a model: our loader, torchvision's ImageFolder, webdataset.

    python tests/benchmarks/loader.py [DATASET] [--workers 2] [--batch 32] [--images 4000]

All read the same rgba pictures: ours and webdataset from the shards of a dataset, ImageFolder from
the same PNG files in a folder for each category.  All shuffle, with the same number of processes,
and deliver float tensors [B, 3, H, W] in 0..1, made from uint8 in the same way.  The transparency
is left out, as ImageFolder does.  Without a dataset, one of samples/cars is rendered.

All take turns, so that what else the machine does falls on all of them; medians of the rounds are
shown.  A cold pass begins with an empty cache of decoded pictures, so it is one pass over the set;
the others read --images pictures.  Files are in the system's page cache for all of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from in_process import run_job  # isort: skip  (before numpy: it sets the number of threads)

import cv2
import numpy as np
import torch
import webdataset
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from renderer.shards import Dataset, decode_member
from trainer.data import Reader, Snapshot
from trainer.loader import Loader

Tensors = Iterator[torch.Tensor]
Rate = tuple[float, float]


class Pictures:
    """Every view of every shape as an example of our loader."""

    def __init__(self, folder: Path, cache: bool = True):
        self.snapshot = Snapshot.take([folder])
        self.reader = Reader(self.snapshot, cache)
        splits = self.snapshot.facts.samples
        self.items = [item for split in splits for item in self.snapshot.items(split)]

    def __len__(self) -> int:
        return len(self.items) * self.snapshot.facts.views

    def get(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        shape, view = divmod(index, self.snapshot.facts.views)
        image = self.reader.image(self.items[shape], view)
        return {"image": np.stack(cv2.split(image)[:3]), "label": self.items[shape].category}


def as_float(images: torch.Tensor) -> torch.Tensor:
    return images.float().div_(255)


def ours(pictures: Pictures, options: argparse.Namespace) -> Tensors:
    loader = Loader(pictures, batch=options.batch, seed=0, workers=options.workers)
    for batch in loader.batches():
        yield as_float(batch["image"])


def image_folder(pictures: ImageFolder, options: argparse.Namespace) -> Tensors:
    loader = DataLoader(
        pictures,
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
        drop_last=True,
        persistent_workers=options.workers > 0,
    )
    while True:
        for images, _ in loader:
            yield as_float(images)


def web_dataset(folder: Path, options: argparse.Namespace) -> Tensors:
    def views(samples: Iterator[dict[str, Any]]) -> Iterator[torch.Tensor]:
        for sample in samples:
            for name, value in sample.items():
                if name.endswith("rgba.png"):
                    yield torch.from_numpy(np.stack(cv2.split(value)[:3]))

    shards = [str(folder / s["name"]) for s in Dataset(folder).index["shards"] if s["samples"]]
    pipeline = (
        webdataset.WebDataset(
            shards,
            shardshuffle=len(shards),
            seed=0,
            select_files=lambda name: name.endswith("rgba.png"),
            resampled=False,
        )
        .decode(decode_member)
        .compose(views)
        .shuffle(200)
        .repeat()
        .batched(options.batch, partial=False, collation_fn=torch.stack)
    )
    for images in DataLoader(pipeline, batch_size=None, num_workers=options.workers):
        yield as_float(images)


def write_folder(dataset: Path, out: Path) -> int:
    """The rgba PNGs, byte for byte, in a folder for each category; how many there are."""
    count = 0
    for sample in Dataset(dataset):
        place = out / sample.category
        place.mkdir(parents=True, exist_ok=True)
        for name in sample.members:
            if name.endswith(".rgba.png"):
                (place / f"{sample.key}.{name}").write_bytes(sample.read(name))
                count += 1
    return count


def rate(tensors: Tensors, images: int) -> Rate:
    """Images per second from the first batch on; CPU microseconds of all processes for each,
    starting them included."""
    before = os.times()
    next(tensors)
    began, seen = time.perf_counter(), 0
    for batch in tensors:
        seen += len(batch)
        if seen >= images:
            break
    rate = seen / (time.perf_counter() - began)
    del tensors  # ends the loader processes: their time is known when they have ended
    cpu = sum(os.times()[:4]) - sum(before[:4])
    return rate, 1e6 * cpu / seen


def compare(dataset: Path, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        count = write_folder(dataset, scratch / "png")
        first = Dataset(dataset)[0].views[0].rgba
        epoch = (count // options.batch - 1) * options.batch
        if epoch <= 0:
            raise SystemExit(
                f"{dataset} has {count} pictures; --batch {options.batch} is too large"
            )
        caches = iter(range(10**6))

        files = ImageFolder(scratch / "png", transforms.PILToTensor())

        def cold() -> Rate:
            os.environ["XDG_CACHE_HOME"] = str(scratch / f"cache-{next(caches)}")
            return rate(ours(Pictures(dataset), options), epoch)

        readers: dict[str, Callable[[], Rate]] = {
            "ours, cold": cold,
            "ours, warm": lambda: rate(ours(Pictures(dataset), options), options.images),
            "ours, no cache": lambda: rate(ours(Pictures(dataset, cache=False), options), epoch),
            "ImageFolder, one pass": lambda: rate(image_folder(files, options), epoch),
            "ImageFolder": lambda: rate(image_folder(files, options), options.images),
            "webdataset": lambda: rate(web_dataset(dataset, options), options.images),
        }
        print(
            f"{count} pictures of {first.shape[1]} x {first.shape[0]}, "
            f"{sum(p.stat().st_size for p in scratch.rglob('*.png')) / count / 1e3:.1f} kB each; "
            f"{options.workers} loader processes on {os.cpu_count()} cores, batch {options.batch}, "
            f"load of the machine {os.getloadavg()[0]:.1f}"
        )
        rates: dict[str, list[Rate]] = {reader: [] for reader in readers}
        for _ in range(options.rounds):
            for reader, run in readers.items():
                rates[reader].append(run())
    for reader, found in rates.items():
        one_pass = reader in ("ours, cold", "ours, no cache", "ImageFolder, one pass")
        base = "ImageFolder, one pass" if one_pass else "ImageFolder"
        ratio, less = (
            statistics.median(a[n] / b[n] for a, b in zip(found, rates[base], strict=True))
            for n in (0, 1)
        )
        print(
            f"{reader:22} {statistics.median(r for r, _ in found):7.0f} images/s and "
            f"{statistics.median(c for _, c in found):5.0f} CPU-us per image: "
            f"{ratio:5.2f} and {less:4.2f} x {base}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="of what is rendered")
    parser.add_argument("--shapes", type=int, default=60, help="of what is rendered")
    options = parser.parse_args()
    torch.set_num_threads(1)  # several would wait for each other where the cores are busy
    with tempfile.TemporaryDirectory() as name:
        dataset = options.dataset
        if dataset is None:
            dataset = Path(name) / "cars"
            run_job(dataset, ["samples/cars"], limit=options.shapes, size=options.size, spp=4)
        compare(dataset, options)


if __name__ == "__main__":
    main()
