"""A small lab for the pages: datasets, a run and records, all in the farm's own formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from farm.log_line import LogLine
from farm.pipeline import Pipeline, Stage
from farm.pipelines import Pipelines
from farm.records import DONE, RUNNING, ItemFailure, JobRecord, WorkerRecord
from farm.store import Store
from renderer import shards, storage
from renderer.content import describe_view
from renderer.members import encode_array, encode_image

SIDE = 48
COLOUR = (232, 30, 160)
"""Of the shapes: nothing else on a page has it."""
RENDER, TRAIN, PIPELINE = "a" * 12, "b" * 12, "c" * 12
LABEL = "cars <b>&</b> chairs"
SECRET = "nobody-should-see-this"
WORKER = "render-0@lab<07>"


def disc() -> np.ndarray:
    """[SIDE, SIDE, 4] a disc in the middle."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    image = np.zeros((SIDE, SIDE, 4), np.uint8)
    image[np.hypot(x, y) < SIDE * 0.35] = (*COLOUR, 255)
    return image


def sample(key: str, views: int = 3, picture: bytes = b"") -> shards.Record:
    """A finished sample of a disc from all sides."""
    rgba = disc()
    depth = (rgba[..., 3] > 0).astype(np.uint16) * 40000
    meta = {
        "version": 1,
        "key": key,
        "seed": 0,
        "depth_scale": shards.DEPTH_SCALE,
        "size": [SIDE, SIDE],
        "shape": {"id": key, "category": "disc", "synset": None, "sha256": "0" * 64},
        "views": [
            {
                "intrinsics": [[60, 0, SIDE / 2], [0, 60, SIDE / 2], [0, 0, 1]],
                "world_to_camera": [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1.5], [0, 0, 0, 1]],
                "azimuth_deg": 360 * view / views,
                "elevation_deg": 20.0,
                "distance": 1.5,
                **describe_view(rgba),
            }
            for view in range(views)
        ],
    }
    members = {"json": json.dumps(meta).encode()}
    for view in range(views):
        members[f"{view:02d}.rgba.png"] = picture or encode_image("rgba", rgba)
        members[f"{view:02d}.depth.png"] = encode_image("depth", depth)
    points = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32) * 0.1
    members["points.npy"] = encode_array(points)
    return shards.make_record(key, members, "0" * 64)


def add_shard(folder: storage.Place, name: str, keys: list[str], **more: Any) -> None:
    """Write a shard and name it in the index."""
    sidecar = shards.write_shard(folder, name, (sample(key, **more) for key in keys), [])
    known = folder / shards.INDEX
    index = storage.read_json(known) if storage.exists(known) else None
    index = index or {
        "version": 1,
        "complete": False,
        "job": {},
        "parent": None,
        "created_with": {"shapefarm": "0", "device": {"kind": "CPU", "name": "here"}},
        "conventions": {},
        "members": [
            "json",
            *(f"{v:02d}.{k}.png" for v in range(3) for k in ("rgba", "depth")),
            "points.npy",
        ],
        "splits": {},
        "shards": [],
        "sources": [],
    }
    index.pop("id", None)
    index["shards"].append(
        {
            "name": f"{name}.tar",
            "split": name.partition("-")[0],
            "samples": len(keys),
            "bytes": storage.size(shards.tar_path(folder, name, sidecar["sha256"])),
            "sha256": sidecar["sha256"],
        }
    )
    shards.write_index(folder, index)


def record_job(store: Store, job: str, kind: str, facts: Mapping[str, Any], **more: Any) -> None:
    store.submit(
        JobRecord(
            id=job,
            kind=kind,
            role="render" if kind == "render" else "train",
            job=json.dumps(facts),
            state="",
            **more,
        )
    )
    store.turn(job, RUNNING, "submitted")


def forget(store: Store, *jobs: str) -> None:
    """Take jobs out of the store, so that the next test finds what it was given."""
    for job in jobs:
        store.client.delete(*store.client.keys(f"farm:{job}*"))
        store.client.zrem("farm:jobs", job)


def plan(store: Store, job: str, names: list[str], done: int, unit: str = "shapes") -> None:
    """Record the tasks of a job, of which the first are done."""
    planned = [
        (
            name,
            b"{}",
            {unit: 2},
            "{}" if number < done else None,
            {unit: 2} if number < done else {},
        )
        for number, name in enumerate(names)
    ]
    store.plan(job, planned)


def fill(store: Store, root: Path) -> None:
    """Two jobs, a pipeline of them and a worker."""
    cars, run = root / "cars", root / "run"
    for number in range(3):
        add_shard(cars, f"train-{number:06d}", [f"disc-{number}-{n}" for n in range(2)])
    record_job(
        store, RENDER, "render", {"out": str(cars), "shapes": [SECRET], "seed": 0}, label=LABEL
    )
    plan(store, RENDER, [f"train-{number:06d}" for number in range(4)], done=3)
    (cars / "failed").mkdir()
    (cars / "failed" / "broken.png").write_bytes(encode_image("rgba", disc()))
    for item, cls, tries in (("broken", "bad_input", 1), ("disc-1-0", "timeout", 1)):
        failure = ItemFailure(
            item=item,
            cls=cls,
            reason=f"<script>alert('{item}')</script>",
            tries=tries,
            task="train-000001",
            worker=WORKER,
            tail="<i>last words</i>",
        )
        store.failed(RENDER, failure, kind="render", most=3)

    line = LogLine(
        time=0, level="error", worker=WORKER, item="broken", line="<b>cannot</b> read it"
    )
    store.log(RENDER, "train-000001", [line.as_json()], 200)

    (run / "samples").mkdir(parents=True)
    (run / "samples" / "00000020.png").write_bytes(encode_image("rgba", disc()))
    lines = [
        {"step": step, "split": split, "loss": 1 / step, "lr": 0.1}
        for step in range(1, 21)
        for split in ("train", "val")
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "run.json").write_text(json.dumps({"model": "dpc", "parameters": 1234, "config": {}}))
    record_job(store, TRAIN, "train", {"out": str(run)}, label="dpc")
    plan(store, TRAIN, ["train"], done=1, unit="steps")
    store.turn(TRAIN, DONE, RUNNING)

    plain = {"job": "{}", "product": ""}
    stages = (
        Stage(name="render", kind="render", role="render", id=RENDER, needs=(), **plain),
        Stage(name="dpc", kind="train", role="train", id=TRAIN, needs=("render",), **plain),
    )
    pipelines = Pipelines(store)
    pipelines.submit(
        Pipeline(id=PIPELINE, name="both <x>", file="x.toml", out=str(root), stages=stages)
    )
    store.client.sadd(f"farm:pipeline:{PIPELINE}:started", "render", "dpc")
    store.beat(
        WorkerRecord(
            name=WORKER, role="render", host="lab<07>", pid=1, version="1", job=RENDER,
            task="train-000003", item="disc-3-0", rates={"images": 4.2}, rss_mb=300,
        )
    )  # fmt: skip
