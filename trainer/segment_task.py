"""The work of one segment task: find, filter and normalize what is in some photos, then write the
shard whole.

A photo that was looked at leaves its samples and a note in the stage, so nothing is done twice.
"""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer import shards
from renderer.storage import Place
from trainer import album, atomic, output, padding, photos, rejections, segments
from trainer.jobs.segment import Done, Job, Photo, Task, done
from trainer.output import Failed
from trainer.photos import BadPhoto, Picture
from trainer.segments import Segment, Thresholds

if TYPE_CHECKING:
    from trainer.detector import Detector

Bytes = NDArray[np.uint8]

STREAM = 5
"""Of chance: see docs/format.md, which has the other ones."""
THUMBNAIL = 128
SHOWN = 4
"""Rejected segments of each filter, of which a shard keeps a small picture."""

_detector: tuple[tuple[str, str, str, float], Detector] | None = None  # warm, once per process


def make_shard(job: Job, task: Task, lease: Any) -> Done:
    """Look at what is missing of a shard's photos and commit it.

    lease  what the farm gives a child program (farm/child.py)
    """
    started, staging = time.perf_counter(), output.staging(job.folder, task.name)
    cv2.setNumThreads(1)  # there is a process for every core
    already = done(job, task)
    if already is not None and not _is_worth_a_retry(already, lease):
        return already
    failed, notes = [], []
    shown: Counter[str] = Counter()
    for photo in task.photos:
        if photo.file in lease.failed:
            one = lease.failed[photo.file]
            failed.append(
                Failed(id=one.item, failure_class=one.cls, reason=one.reason, tries=one.tries)
            )
            continue
        note = _staged(staging, photo)
        if note is None:
            lease.start(photo.file)
            note = _look(job, task, photo, staging, shown)
        shown.update(one["filter"] for one in note["rejected"] if "picture" in one)
        notes.append(note)
        lease.finish(photo.file, photos=1)
    lease.commit()
    rejections.write(job.folder, task.name, notes)
    keys = [key for note in notes for key in note["keys"]]
    output.write(job.folder, task.name, keys, failed, time.perf_counter() - started)
    result = done(job, task)
    assert result is not None, "the shard was just written"
    return result


def _is_worth_a_retry(already: Done, lease: Any) -> bool:
    return any(
        failed.failure_class != "bad_input" and failed.id not in lease.failed
        for failed in already.failed
    )


# --- one photo -----------------------------------------------------------------------------------


def _look(
    job: Job, task: Task, photo: Photo, staging: Place, shown: Mapping[str, int]
) -> dict[str, Any]:
    """Stage the samples of a photo, then its note."""
    note: dict[str, Any] = {"file": photo.file, "found": 0, "keys": []}
    note |= {"ratios": [], "rejected": []}
    kept: Counter[str] = Counter(shown)

    def refuse(name: str, reason: str, number: int | None = None, segment: Any = None) -> None:
        told: dict[str, Any] = {"photo": photo.file, "filter": name, "reason": reason}
        if segment is not None:
            told |= {"segment": number, "label": segment.label, "score": segment.score}
            told |= {"box": list(segment.box)}
            if kept[name] < SHOWN:
                kept[name] += 1
                told["picture"] = _thumbnail(picture, segment)
        note["rejected"].append(told)

    try:
        path = Path(job.photos) / photo.file
        picture = photos.read(path, job.max_megapixels)
        if album.sha256(path) != photo.sha256:
            raise BadPhoto("it has changed since the job began")
        for number, found in enumerate(_segments(job, photo, picture)):
            if isinstance(found, str):
                refuse("mask", found)
                continue
            note["found"] += 1
            if no := segments.rejected(found, thresholds(job)):
                refuse(*no, number, found)
                continue
            rng = np.random.default_rng([job.seed, int(photo.sha256, 16), STREAM, number])
            made = padding.normalized(
                _crop(picture.rgb, found), found.mask, _normal(task), task.size, rng,
                clamp=job.too_full == "clamp",
            )  # fmt: skip
            if made is None:
                why = f"no ratio at or below {padding.ratio(found.area, _side(found)):.3f}"
                refuse("ratio", f"{why} was drawn in {padding.DRAWS} tries", number, found)
                continue
            record, after = _record(job, photo, picture, found, number, made)
            shards.stage(staging, record, {"created_with": _created_with(job, photo, picture)})
            note["keys"].append(record.key)
            note["ratios"].append([_finite(made.before), made.drawn, _finite(after)])
        if not note["found"] and not note["rejected"]:
            refuse("empty", "nothing was found in it")
    except BadPhoto as error:
        refuse("photo", str(error))
    except OSError as error:
        refuse("photo", f"it cannot be read: {error.strerror or error}")
    atomic.write_json(_note_path(staging, photo), {"version": rejections.VERSION, **note})
    return note


def _segments(job: Job, photo: Photo, picture: Picture) -> Iterator[Segment | str]:
    """What is in a photo; a text tells of a mask that will not do."""
    if job.masks is not None:
        if not photo.masks:
            yield "there is no mask of it"
        for name in photo.masks:
            yield _masked(Path(job.masks) / name, picture)
    elif picture.alpha is not None:
        found = segments.whole(picture.alpha >= 128, picture.colour)
        yield found or "all of it is transparent"
    else:
        yield from _warm(job).segments(picture)


def _masked(path: Path, picture: Picture) -> Segment | str:
    try:
        mask = photos.read_mask(path)
    except BadPhoto as error:
        return f"{path.name}: {error}"
    height, width = picture.rgb.shape[:2]
    if mask.shape != (picture.size[1], picture.size[0]):
        seen, wanted = mask.shape[::-1], picture.size
        return f"{path.name}: {seen[0]} x {seen[1]}, the photo is {wanted[0]} x {wanted[1]}"
    if picture.reduced:
        small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        mask = small > 0
    return segments.whole(mask, picture.colour) or f"{path.name}: nothing is marked in it"


def _warm(job: Job) -> Detector:
    """The detector, loaded at the first photo that needs it."""
    global _detector
    wanted = (job.detector, job.weights, job.device, job.score)
    if _detector is None or _detector[0] != wanted:
        import torch

        from trainer.detector import Detector
        from trainer.device import threads

        torch.set_num_threads(threads())
        _detector = wanted, Detector(*wanted)
    return _detector[1]


def thresholds(job: Job) -> Thresholds:
    return Thresholds(
        labels=job.label_names,
        score=job.score,
        side=job.side,
        fill=job.fill,
        colour=job.colour,
        parts=job.parts,
        border=job.border,
        border_width=job.border_width,
    )


# --- one sample ----------------------------------------------------------------------------------


def _record(
    job: Job,
    photo: Photo,
    picture: Picture,
    segment: Segment,
    number: int,
    made: padding.Normalized,
) -> tuple[shards.Record, float]:
    """The sample, and the ratio that it came to."""
    described = shards.describe_view(made.rgba)
    key = make_key(segment.label or "segment", photo, number)
    size = made.rgba.shape[0]
    meta = {
        "version": shards.VERSION,
        "key": key,
        "seed": job.seed,
        "size": [size, size],
        "views": [described],
        "photo": {
            "file": photo.file,
            "sha256": photo.sha256,
            "size": list(picture.size),
            "decoded": [picture.rgb.shape[1], picture.rgb.shape[0]],
            "segment": number,
            "source": _source(job, picture),
            "label": segment.label,
            "score": segment.score,
            "box": list(segment.box),
            "frame": [made.frame.side, made.frame.left, made.frame.top],
            "ratio": made.drawn,
        },
    }
    members = {
        "json": shards.canonical_json(meta),
        "00.rgba.png": shards.encode_image("rgba", made.rgba),
    }
    pixels = shards.pixels_hash({"00.rgba.png": made.rgba})
    record = shards.make_record(key, members, pixels)
    return record, padding.of_coverage(described["coverage"])


def make_key(label: str, photo: Photo, number: int) -> str:
    """`car-<name of the photo>-<its hash>-<number>`: a key of the format, unique in a dataset."""
    end = f"-{photo.sha256[:10]}-{number:02d}"
    name = f"{label.replace(' ', '_')}-{Path(photo.file).stem}"
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[: 100 - len(end)] + end


def _created_with(job: Job, photo: Photo, picture: Picture) -> dict[str, Any]:
    import PIL

    made_with = {"numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}
    if _source(job, picture) == "detector":
        import torchvision

        made_with |= {"torchvision": torchvision.__version__, "detector": job.detector}
    return made_with


def _source(job: Job, picture: Picture) -> str:
    """Who said what is in a photo."""
    if job.masks is not None:
        return "masks"
    return "detector" if picture.alpha is None else "alpha"


def _normal(task: Task) -> padding.Normal | None:
    if task.mean is None:
        return None
    return padding.Normal(mean=task.mean, deviation=task.deviation)


def _crop(rgb: Bytes, segment: Segment) -> Bytes:
    x0, y0, x1, y1 = segment.box
    return rgb[y0:y1, x0:x1]


def _side(segment: Segment) -> int:
    return max(segment.mask.shape)


def _finite(value: float) -> float | None:
    """JSON has no infinity, which a thing that fills its square comes to."""
    return value if np.isfinite(value) else None


# --- what is kept of a photo until its shard is whole --------------------------------------------


def _note_path(staging: Place, photo: Photo) -> Place:
    # Photos that cannot be read have no hash: their names tell them apart.
    name = photo.sha256 or base64.urlsafe_b64encode(photo.file.encode()).decode()[:100]
    return staging / f"{name}.photo.json"


def _staged(staging: Place, photo: Photo) -> dict[str, Any] | None:
    """The note of an earlier try, where all of its samples are there too."""
    try:
        note = atomic.read_json(_note_path(staging, photo), rejections.VERSION)
        whole = note["file"] == photo.file and _all_there(staging, note["keys"])
        return note if whole else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _all_there(staging: Place, keys: Iterable[str]) -> bool:
    return all(shards.staged(staging, key) is not None for key in keys)


def _thumbnail(picture: Picture, segment: Segment) -> str:
    """A small JPEG, base64: the box, with what is not of the thing faded."""
    colours = _crop(picture.rgb, segment).astype(np.float32)
    crop: NDArray[Any] = np.where(segment.mask[..., None] > 0, colours, colours * 0.35 + 165)
    scale = THUMBNAIL / max(crop.shape[:2])
    if scale < 1:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(crop.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(bytes(data)).decode()
