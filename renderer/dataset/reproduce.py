"""Whether a dataset can be made again: random samples rendered anew and compared.

First byte by byte.  Where bytes differ, as they may with another Blender or on a CPU of another
instruction set, the decoded pixels are compared within the tolerances of the format.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import shards, storage
from renderer.dataset.origin import Origin, read_made
from renderer.dataset.subset import select_views
from renderer.members import decode_member, encode_image
from renderer.shapes.shape import Shape
from renderer.shards import Dataset, Sample
from renderer.storage import Place

Array = NDArray[Any]

COLOUR = 1
"""Of 255."""
DEPTH = 2
"""Stored units."""
NORMAL_DEG = 1.0
SHARE = 0.999
"""Of the normals that must lie within NORMAL_DEG, and of the mask's pixels that must be equal."""
POINTS = 1e-6

IDENTICAL, SIMILAR, DIFFERENT, IMPOSSIBLE = "identical", "similar", "different", "impossible"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One sample, made again."""

    key: str
    verdict: str
    """identical (bytes), similar (pixels within tolerance), different, or impossible."""
    details: tuple[str, ...] = ()
    """What differs and by how much, or why it cannot be made again."""
    members: int = 0
    """How many members have other bytes."""

    @property
    def good(self) -> bool:
        return self.verdict in (IDENTICAL, SIMILAR)

    def __str__(self) -> str:
        told = {
            IDENTICAL: "identical: every byte",
            SIMILAR: f"within tolerance: {self.members} members have other bytes",
            DIFFERENT: "DIFFERENT",
            IMPOSSIBLE: "CANNOT BE MADE AGAIN",
        }[self.verdict]
        return f"{self.key}: {told}" + (f" ({'; '.join(self.details)})" if self.details else "")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    outcomes: tuple[Outcome, ...]
    differences: tuple[str, ...]
    """How the machine and programs differ from those that made the dataset: `bpy 5.0.1, here
    5.2.3`; empty when nothing does."""

    @property
    def good(self) -> bool:
        return all(outcome.good for outcome in self.outcomes)


def reproduce(
    folder: Place, samples: int, seed: int = 0, progress: Progress = lambda done, total: None
) -> Reproduction:
    """Render some samples of a dataset again and compare.

    samples  how many, drawn at random; all of them when there are fewer
    seed     of the draw

    Raises FileNotFoundError where there is no dataset, ValueError when no sample can be rendered.
    """
    if samples < 1:
        raise ValueError(f"--samples {samples}: at least 1")
    dataset = Dataset(folder)
    if not len(dataset):
        raise ValueError(f"{folder} has no samples yet")
    made = read_made(folder, dataset.index)
    origins = made.origin_of()
    draw = np.random.default_rng(seed).permutation(len(dataset))[:samples]
    outcomes = []
    differences: set[str] = set()
    with _Blender() as blender:
        for number in sorted(int(n) for n in draw):
            sample = dataset[number]
            outcome, made_with = _again(
                blender, sample, made.shapes.get(sample.key), origins.get(sample.key)
            )
            outcomes.append(outcome)
            if made_with:
                differences.update(_differences(_created(sample, dataset.index), made_with))
            progress(len(outcomes), len(draw))
    return Reproduction(outcomes=tuple(outcomes), differences=tuple(sorted(differences)))


# --- one sample --------------------------------------------------------------------------------


def _again(
    blender: _Blender,
    sample: Sample,
    fields: Mapping[str, Any] | None,
    origin: Origin | None,
) -> tuple[Outcome, dict[str, Any] | None]:
    if fields is None or origin is None:
        return _impossible(sample.key, f"{shards.JOB} does not say what it was made from"), None
    if origin.kind != "render":
        return _impossible(sample.key, f"it was made by a {origin.kind} job, not rendered"), None
    shape = Shape(**fields)
    if reason := _unusable(shape):
        return _impossible(sample.key, reason), None
    try:
        members, made_with = blender.render(shape, origin.job)
    except BrokenProcessPool:
        return _impossible(sample.key, "Blender died of it"), None
    except Exception as error:  # the child's: whatever befell this sample
        return _impossible(sample.key, f"rendering it failed: {error}"), None
    if origin.views is not None:
        members = select_views(members, origin.views)
    stored = {name: sample.read(name) for name in sample.members}
    if origin.restyled:
        found = compare(sample.key, without_colours(stored), without_colours(members))
        # What the dataset was created with tells of the network that made the colours.
        return replace(found, details=(*found.details, "all but the colours")), None
    return compare(sample.key, stored, members), made_with


def _impossible(key: str, reason: str) -> Outcome:
    return Outcome(key=key, verdict=IMPOSSIBLE, details=(reason,))


def _unusable(shape: Shape) -> str | None:
    """Why the shape's file is not what it was; None when it is."""
    from renderer.shapes import digest

    try:
        found = digest(Path(shape.path))
    except OSError as error:
        return f"{shape.path} cannot be read: {error.strerror or error}; put it back"
    if found != shape.sha256:
        return (
            f"{shape.path} or a file it names has changed: SHA-256 {found[:12]}, the dataset was "
            f"made from {shape.sha256[:12]}; put it back"
        )
    return None


class _Blender:
    """Blender in a process of its own: it may die, and its chatter stays out of ours."""

    def __enter__(self) -> _Blender:
        self._pool: ProcessPoolExecutor | None = None
        return self

    def __exit__(self, *failure: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def render(
        self, shape: Shape, job: Mapping[str, Any]
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The members of the shape's sample, and what made them."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_quiet)
        try:
            return self._pool.submit(_render, asdict(shape), dict(job)).result()
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = None  # the next sample gets a fresh one
            raise


def _quiet() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _render(fields: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    from renderer.jobs.render import Job
    from renderer.machine import created_with
    from renderer.sample import make_sample
    from renderer.shard_task import recipe_of, warm_session

    recipe = recipe_of(Job(**{**job, "shapes": tuple(job["shapes"])}))
    try:
        record = make_sample(warm_session, Shape(**fields), recipe)
    except Exception as error:  # may not survive the way to the other process as it is
        raise RuntimeError(str(error)) from None
    device = warm_session().device
    members = {name: record.data[at : at + size] for name, (at, size, _) in record.members.items()}
    return members, created_with(device.kind, device.name)


# --- comparing ---------------------------------------------------------------------------------


def compare(key: str, before: Mapping[str, bytes], now: Mapping[str, bytes]) -> Outcome:
    """What differs between two makings of one sample."""
    if before.keys() != now.keys():
        name = min(before.keys() ^ now.keys())
        return Outcome(key=key, verdict=DIFFERENT, details=(f"{name} is in only one of them",))
    other = [name for name in before if before[name] != now[name]]
    if not other:
        return Outcome(key=key, verdict=IDENTICAL)
    wrong = [
        f"{name}: {difference}"
        for name in other
        if (difference := _beyond(name, before[name], now[name]))
    ]
    verdict = DIFFERENT if wrong else SIMILAR
    return Outcome(key=key, verdict=verdict, details=tuple(wrong), members=len(other))


def _beyond(name: str, before: bytes, now: bytes) -> str | None:
    """How two members differ beyond the tolerances; None when they do not."""
    try:
        first, second = decode_member(name, before), decode_member(name, now)
    except (ValueError, EOFError) as error:
        return str(error)
    if name == "json":
        return next(_json_differences("", first, second), None)
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"{first.dtype} of {first.shape}, now {second.dtype} of {second.shape}"
    if name.endswith(".npy"):
        apart = float(np.abs(first - second).max(initial=0))
        return f"up to {apart:.2g} apart" if not apart <= POINTS else None
    kind = name.split(".")[1]
    apart = np.abs(first.astype(np.int64) - second)
    if kind == "rgba" and apart[..., 3].any():
        return f"alpha differs in {np.count_nonzero(apart[..., 3])} pixels"
    if kind in ("rgba", "albedo") and apart.max() > COLOUR:
        pixels = np.count_nonzero((apart > COLOUR).any(axis=-1))
        return f"colours differ by up to {apart.max()}/255 in {pixels} pixels"
    if kind == "depth" and apart.max() > DEPTH:
        pixels = np.count_nonzero(apart > DEPTH)
        return f"depths differ by up to {apart.max()} units in {pixels} pixels"
    if kind == "normal":
        near = normals_within(first, second)
        return f"only {near:.2%} of the normals are within a degree" if near < SHARE else None
    if kind == "mask":
        same = float((apart == 0).mean())
        return f"only {same:.2%} of the pixels are equal" if same < SHARE else None
    return None


def without_colours(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """A sample whose pictures are black: of a stylized one all else can be made again."""
    found = dict(members)
    for name in members:
        if name.endswith(".rgba.png"):
            rgba = decode_member(name, members[name])
            rgba[..., :3] = 0
            found[name] = encode_image("rgba", rgba)
    return found


def normals_within(first: Array, second: Array) -> float:
    """Share of the stored normals, of pixels that have one, that are within NORMAL_DEG."""
    has = (first != 0).any(axis=-1) | (second != 0).any(axis=-1)
    if not has.any():
        return 1.0
    a, b = (image[has] / 32767.5 - 1 for image in (first, second))
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float((np.degrees(np.arccos(np.clip(cosine, -1, 1))) <= NORMAL_DEG).mean())


def _json_differences(where: str, first: Any, second: Any) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for name in first:
            yield from _json_differences(f"{where}.{name}", first[name], second[name])
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, pair in enumerate(zip(first, second, strict=True)):
            yield from _json_differences(f"{where}.{number}", *pair)
    elif isinstance(first, float) and isinstance(second, float):
        if abs(first - second) > 1e-9 * max(1, abs(first)):
            yield f"{where.strip('.')} is {second}, was {first}"
    elif first != second or type(first) is not type(second):
        yield f"{where.strip('.')} is {json.dumps(second)}, was {json.dumps(first)}"


# --- what made it ------------------------------------------------------------------------------


def _created(sample: Sample, index: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What made a sample: its shard's log says so, else the index."""
    try:
        found = storage.read_json(shards.log_path(sample.tar))["samples"][sample.key]
        made_with = found["created_with"]
    except (OSError, ValueError, KeyError):
        made_with = index["created_with"]
    return made_with if isinstance(made_with, list) else [made_with]


def _differences(before: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> Iterator[str]:
    """`bpy 5.0.1, here 5.2.3` for whatever decides what the bytes are."""
    for one in before:
        device, here = one.get("device", {}), now.get("device", {})
        pairs = [(n, one.get(n), now.get(n)) for n in now if n not in ("device", "python")]
        pairs += [(n, device.get(n), here.get(n)) for n in ("kind", "instruction_set")]
        for name, was, is_ in pairs:
            if was != is_:
                yield f"{name.replace('_', ' ')} {was}, here {is_}"
