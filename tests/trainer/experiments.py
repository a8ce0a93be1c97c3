"""A pipeline's folder as it is left: datasets, runs with evaluations, pipeline.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from renderer import shards
from renderer.members import encode_image, pixels_hash
from renderer.shards import Dataset
from tests.trainer.datasets import make_dataset
from tests.trainer.segments import make_segments, pictures_of
from trainer import atomic
from trainer.data import Snapshot
from trainer.run import VERSION

VERSIONS = {"python": "3.11", "torch": "2.15.0"}


def make_experiment(folder: Path, seeds: int = 2) -> Path:
    """Two rows (original, exp 2) of so many seeds, two tests, segments, a style and its run."""
    render = make_dataset(
        folder / "render", ("cars",), size=24, views=2, points=16,
        splits={"train": 6, "val": 1, "test": 4},
    )  # fmt: skip
    styled = make_styled(folder / "styled", render)
    real = make_segments(
        folder / "real",
        {split: [warmer(p) for p in pictures_of(render, split)] for split in ("train", "test")},
    )
    stages: dict[str, Any] = {
        "render": stage("render", render, shapes=["samples/cars"]),
        "real": stage("segment", real, photos="photos"),
        "aist": stage("train", folder / "aist", model="aist", preset="tiny", seed=0),
        "styled": stage("stylize", styled, needs=["render", "aist"]),
    }
    make_run(folder / "aist", "aist", 0, {"alpha": "composite"}, render)
    evaluation(
        folder / "aist", render,
        {"mask_xor": 0.0004, "changed": 0.11, "plain_told": 0.95, "stylized_told": 0.7,
         "outlines_told": 0.6},
        tables={"feature_distance": {"of": "ImageNet's ResNet-18"}},
    )  # fmt: skip
    for group, base in (("dpc", 0.0), ("dpc2", -1.0)):
        for seed in range(seeds):
            name = f"{group}.{seed}"
            run = folder / name
            stages[name] = stage(
                "train", run, model="dpc", preset="tiny", seed=seed, keys={"seed": str(seed)}
            )
            make_run(run, "dpc", seed, {"steps": 30}, render)
            for place, data in enumerate((render, styled)):
                evaluation(run, data, figures(8 + base + seed + place), errors(seed, base, 40))
            masks = errors(seed, base - 1, 4)
            evaluation(run, real, {"mask_error": float(masks.mean())}, masks)
            stages[f"judge-{name}"] = stage("evaluate", run, run=str(run), needs=[name])
    note = {
        "version": 1, "id": "0" * 12, "name": "tiny", "file": "docs/examples/tiny.toml",
        "state": "done", "reason": "", "stages": stages,
        "references": {"@dpc": [f"dpc.{seed}" for seed in range(seeds)]},
        "experiment": {
            "rows": [{"name": "original", "runs": "@dpc"}, {"name": "exp 2", "runs": "@dpc2"}],
            "tests": [{"name": "original", "data": "@render"},
                      {"name": "styled 2", "data": "@styled"}],
            "real": "@real",
            "stylized": [{"name": "exp 2", "parent": "@render", "data": "@styled"}],
        },
    }  # fmt: skip
    atomic.write_json(folder / "pipeline.json", note)
    return folder


def stage(
    kind: str, product: Path, needs: Any = (), keys: Any = None, **job: Any
) -> dict[str, Any]:
    return {
        "kind": kind, "id": "a" * 12, "job": job, "product": str(product), "needs": list(needs),
        "keys": keys or {}, "state": "done", "reason": "",
    }  # fmt: skip


def figures(median: float) -> dict[str, float]:
    return {
        "precision": 1.5, "coverage": 1.25, "chamfer": 2.75, "accuracy": 0.8, "median_deg": median,
        "mask_error": 0.2,
    }  # fmt: skip


def errors(seed: int, shift: float, count: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([seed, round(10 * (shift + 10))])
    return np.asarray(rng.gamma(4, 0.08 + 0.02 * abs(shift), count))


def make_run(run: Path, model: str, seed: int, config: Mapping[str, Any], data: Path) -> None:
    """job.json and run.json, as far as a report reads them."""
    job = {"model": model, "data": [str(data)], "preset": "tiny", "seed": seed}
    atomic.write_json(run / "job.json", {"version": VERSION, "job": job})
    start = {"step": 0, "versions": VERSIONS, "device": "cpu"}
    about = {"config": dict(config), "snapshot": Dataset(data).id, "seed": seed, "starts": [start]}
    atomic.write_json(run / "run.json", {"version": VERSION, **about})


def evaluation(
    run: Path, data: Path, metrics: Mapping[str, float], masks: Any = None, tables: Any = None
) -> Path:
    """What evaluate leaves of the split test."""
    snapshot = Snapshot.take([data])
    folder = run / "evaluations" / f"test-{snapshot.id[:8]}"
    note = {
        "version": VERSION, "split": "test", "snapshot": snapshot.id, "data": [str(data)],
        "step": 30, "metrics": dict(metrics), "tables": tables or {},
        "facts": dataclasses.asdict(snapshot.facts),
    }  # fmt: skip
    atomic.write_json(folder / "evaluation.json", json.loads(json.dumps(note)))
    arrays = {} if masks is None else {"mask_error": masks, "mask_iou": 1 - masks / 2}
    np.savez(folder / "evaluation.npz", **arrays)
    return folder


def warmer(picture: np.ndarray[Any, Any], strength: float = 1.0) -> np.ndarray[Any, Any]:
    """The picture in warm colours with a grain: what counts as real here."""
    rng = np.random.default_rng(int(picture.sum()))
    grain = rng.normal(0, 14 * strength, picture.shape[:2])[..., None]
    gains = 1 + strength * (np.array([1.25, 0.9, 0.6]) - 1)
    colours = np.clip(picture[..., :3] * gains + grain, 1, 255).astype(np.uint8)
    seen = picture[..., 3:] > 0
    return np.concatenate([np.where(seen, colours, 0), picture[..., 3:]], axis=2).astype(np.uint8)


def make_styled(folder: Path, parent: Path) -> Path:
    """The same dataset with warm pictures: some of them fully, some hardly."""
    dataset = Dataset(parent)
    entries, number = [], 0
    for shard in dataset.index["shards"]:
        sidecar = shards.read_versioned(shards.sidecar_path(parent / shard["name"]))
        records = []
        for entry in sidecar["samples"]:
            sample = shards.Sample(parent / shard["name"], entry)
            members = {name: sample.read(name) for name in sample.members}
            arrays = sample.arrays()
            for name in members:
                if name.endswith(".rgba.png"):
                    arrays[name] = warmer(arrays[name], number % 4 / 3)
                    members[name] = encode_image("rgba", arrays[name])
                    number += 1
            records.append(shards.make_record(sample.key, members, pixels_hash(arrays)))
        name = shard["name"].removesuffix(".tar")
        written = shards.write_shard(folder, name, iter(records), [])
        size = (folder / shard["name"]).stat().st_size
        entries.append({**shard, "bytes": size, "sha256": written["sha256"]})
    index = {k: v for k, v in dataset.index.items() if k != "id"}
    index |= {"shards": entries, "parent": {"id": dataset.id, "folder": parent.name}}
    shards.write_index(folder, index)
    return folder
