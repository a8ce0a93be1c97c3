"""Stylizing shards against the generator alone: what reading, decoding, encoding, hashing cost.

    python tests/benchmarks/stylize.py [DATASET] [--preset small] [--size 128] [--batch 64]

The generator alone is the model's `stylize`, again and again, on pictures that lie on the device in
the precision of the job.  The job is the whole of it: shards read, proven and decoded, pictures
made, encoded, hashed, staged, and shards written with side-car and log.  Both take turns, a shard
each, so that what else the machine does falls on both; medians of the rounds are shown.  On a CPU
the share of the process's CPU time is shown too: there it is what other programs cannot disturb.

Without a DATASET one is drawn: all passes, clouds of 16384 points.  The network is fresh: weights
do not change how long it takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from renderer.members import PASSES
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset
from trainer import checkpoint, stylizer
from trainer.data import Snapshot
from trainer.jobs import stylize, train
from trainer.run import claim


class Lease:
    """Nobody listens."""

    failed: dict[str, Any] = {}  # noqa: RUF012

    def progress(self, **_: Any) -> None: ...
    def finish(self, *_: Any, **__: Any) -> None: ...
    def found(self, *_: Any, **__: Any) -> None: ...
    def fail(self, item: str, cls: str, reason: str) -> None:
        raise RuntimeError(f"{item}: {reason}")

    def commit(self) -> None: ...


def fresh_run(folder: Path, data: Path, preset: str, device: str, size: int) -> Path:
    """An aist run with a checkpoint, untrained."""
    config = {"real": [str(data)], "features": "none", "feature_weight": 0.0, "size": size}
    job = train.Job(
        model="aist", data=(str(data),), out=str(folder), preset=preset,  # type: ignore[arg-type]
        device=device, config=config,
    )  # fmt: skip
    snapshot = Snapshot.take([data])
    run = claim(dataclasses.replace(job, steps=1), snapshot.to_json())
    torch.manual_seed(0)
    network = run.model.build(run.config, snapshot.facts)
    optimizer, _ = run.model.optimizer(run.config, network)
    checkpoint.save(run.checkpoints, 1, network, optimizer, {}, best=1)
    return folder


class Alone:
    """The generator on pictures of the dataset that are on the device already."""

    def __init__(self, network: stylizer.Stylizer, data: Path):
        views = [view.rgba for sample in Dataset(data)[: network.batch] for view in sample.views]
        rgba = np.stack((views * network.batch)[: network.batch])
        self.network, self.pictures = network, torch.from_numpy(rgba).to(network.device)
        self.gpu = network.device.type == "cuda"

    def __call__(self, images: int) -> None:
        with torch.inference_mode():
            for _ in range(-(-images // len(self.pictures))):
                self.network._stylized(self.pictures)
        if self.gpu:
            torch.cuda.synchronize()


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--shapes", type=int, default=64, help="in each shard")
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(options, Path(name))


def measure(options: argparse.Namespace, folder: Path) -> None:
    data = Path(options.data).absolute() if options.data else folder / "drawn"
    if not options.data:
        make_dataset(
            data, ("cars",), views=options.views, size=options.size, points=16384, passes=PASSES,
            splits={"train": options.shapes * options.shards}, per_shard=options.shapes,
        )  # fmt: skip
    run = fresh_run(folder / "run", data, options.preset, options.device, options.size)
    job = stylize.resolve(
        stylize.Job(
            data=str(data), run=str(run), out="styled", device=options.device, batch=options.batch
        ),
        folder,
    )
    scanned = stylize.scan(job)
    stylize.prepare(job, scanned)
    network = stylizer.warm(
        job.run, 1, job.device, job.precision, job.batch, scanned.parent["network"]
    )
    alone = Alone(network, data)
    first, *tasks = list(stylize.plan(job, scanned))[: options.shards]
    alone(2 * network.batch)
    stylize.run(job, first, Lease())  # cuDNN and the page cache have seen it all
    rounds = []
    for task in tasks:
        images = len(task.items) * task.views
        whole = -(-images // network.batch) * network.batch  # what Alone makes
        own, own_cpu = timed(lambda images=images: alone(images))  # type: ignore[misc]
        all_, all_cpu = timed(lambda task=task: stylize.run(job, task, Lease()))  # type: ignore[misc]
        rounds.append(
            {
                "generator alone": whole / own,
                "stylize": images / all_,
                "ratio": (images / all_) / (whole / own),
                "of CPU time": (own_cpu / whole) / (all_cpu / images),
            }
        )
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    width, height = Dataset(data)[0].meta["size"]
    print(
        f"aist {options.preset}, {width} x {height} px, {network.precision}, batch {network.batch},"
        f" {network.device}, {images} pictures a shard, {torch.get_num_threads()} threads"
    )
    print(f"  generator alone  {found['generator alone']:9.1f} images/s")
    print(f"  stylize          {found['stylize']:9.1f} images/s")
    print(f"  ratio            {found['ratio']:9.1%}   wanted: at least 90 %")
    if network.device.type == "cpu":
        print(f"  of CPU time      {found['of CPU time']:9.1%}   of it are the generator's")


if __name__ == "__main__":
    main()
