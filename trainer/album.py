"""A folder of photos as it lies on storage: which files, with which hashes and masks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer import storage

if TYPE_CHECKING:
    from trainer.jobs.segment import Job, Photo, Scanned, Skipped

MASKS = "masks"
"""A folder of that name beside photos holds no photos."""


def look(job: Job) -> tuple[tuple[Photo, ...], tuple[Skipped, ...]]:
    """The photos of a job, each file once, and the files that are left out.

    Raises ValueError where there are none, or no mask is any photo's.
    """
    from trainer.jobs.segment import Photo, Skipped
    from trainer.photos import is_picture

    folder = Path(job.photos)
    if not folder.is_dir():
        raise ValueError(f"--photos {folder}: no such folder")
    leave = {Path(p) for p in (job.masks, job.out) if p}
    files, skipped = [], []
    for file in _files(folder, leave, _pictures(folder)):
        if file.isprintable() and _is_text(file):
            files.append(file)
        else:
            shown = os.fsencode(file).decode("utf-8", "backslashreplace")
            skipped.append(Skipped(file=shown, reason="its name is no printable UTF-8"))
    if not files:
        raise ValueError(f"--photos {folder}: there are no photos in it")
    masks = _masks(Path(job.masks), files) if job.masks else {}
    with ThreadPoolExecutor(8) as pool:  # reading waits for storage most of the time
        hashes = list(pool.map(lambda file: sha256(folder / file), files))
        pictures = list(pool.map(lambda file: is_picture(folder / file), files))
        of_masks = dict(pool.map(lambda one: (one[0], _of_masks(job, one[1])), masks.items()))
    photos: list[Photo] = []
    first: dict[str, str] = {}
    for file, digest, is_one in zip(files, hashes, pictures, strict=True):
        if not is_one:
            skipped.append(Skipped(file=file, reason="it is no picture of a known format"))
            continue
        if digest and digest in first:  # the same photo would be in training and test
            skipped.append(Skipped(file=file, reason=f"it is the same file as {first[digest]}"))
            continue
        first[digest] = file
        photos.append(
            Photo(
                file=file,
                sha256=digest,
                masks=masks.get(file, ()),
                masks_sha256=of_masks.get(file, ""),
            )
        )
    if not photos:
        raise ValueError(
            f"--photos {folder}: none of its {len(files)} files is a picture of a known format"
        )
    return tuple(photos), tuple(skipped)


def needs_detector(job: Job, photos: Iterable[Photo]) -> bool:
    """Whether one of the photos does not say itself what is in it."""
    from trainer.photos import is_opaque

    return any(is_opaque(Path(job.photos) / p.file, job.max_megapixels) for p in photos)


def refuse_changed(
    folder: Path, there: Mapping[str, Any] | None, identity: Mapping[str, Any], scanned: Scanned
) -> None:
    """Raises ValueError that names a photo which is not what the job was begun with."""
    if there is None or there.get("kind") != "segment" or there.get("job") != identity:
        return  # not ours to compare with
    before = {p["file"]: (p["sha256"], p["masks_sha256"]) for p in there["photos"]}
    now = {p.file: (p.sha256, p.masks_sha256) for p in scanned.photos}
    for word, files in (
        ("changed:", [f for f in before.keys() & now.keys() if before[f] != now[f]]),
        ("gone:", before.keys() - now.keys()),
        ("new:", now.keys() - before.keys()),
    ):
        if files:
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            raise ValueError(
                f"the photos are not those that {folder} was begun with ({word} {min(files)}"
                f"{more}); put them back, or choose another --out"
            )


def _pictures(folder: Path) -> Path:
    """Where the pictures are: what `farm submit photos` made has them beside other files."""
    try:
        note = json.loads(storage.read(folder / "job.json"))
        made = isinstance(note, dict) and note.get("kind") == "photos"
    except (OSError, ValueError):
        made = False
    return folder / "photos" if made else folder


def _files(folder: Path, leave: set[Path], below: Path) -> Iterator[str]:
    """Paths within the folder of what is below one of its own, sorted; hidden files and folders
    are left out."""
    for where, folders, names in os.walk(below):
        here = Path(where)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name != MASKS and here / name not in leave
        )
        for name in sorted(names):
            if not name.startswith(".") and (here / name).is_file():
                yield (here / name).relative_to(folder).as_posix()


def _masks(folder: Path, files: list[str]) -> dict[str, tuple[str, ...]]:
    """Photo -> its masks: `a/car.png` and `a/car.2.png` are those of `a/car.jpg`, and of
    `b/car.jpg` where no other photo is called car."""
    if not folder.is_dir():
        raise ValueError(f"--masks {folder}: no such folder")
    by_stem, by_name = _by(files, lambda stem: stem), _by(files, os.path.basename)
    alone = {name: of_it for name, of_it in by_name.items() if len(of_it) == 1}
    found: dict[str, list[str]] = {}
    count = 0
    for mask in filter(_is_text, _files(folder, set(), folder)):
        count += 1
        stem = os.path.splitext(mask)[0]
        for name in (stem, os.path.splitext(stem)[0]):
            if of_it := by_stem.get(name) or alone.get(os.path.basename(name)):
                for file in of_it:
                    found.setdefault(file, []).append(mask)
                break
    if not found:
        raise ValueError(
            f"--masks {folder}: none of its {count} files is named after a photo; "
            f"{os.path.splitext(files[0])[0]}.png is wanted for {files[0]}"
        )
    return {file: tuple(masks) for file, masks in found.items()}


def _by(files: list[str], name: Callable[[str], str]) -> dict[str, list[str]]:
    """Files by what they are called without their suffix."""
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(name(os.path.splitext(file)[0]), []).append(file)
    return found


def _of_masks(job: Job, masks: tuple[str, ...]) -> str:
    """One hash of all masks of a photo."""
    told = "".join(sha256(Path(job.masks or "") / mask) for mask in masks)
    return hashlib.sha256(told.encode()).hexdigest()


def _is_text(name: str) -> bool:
    try:
        name.encode()
        return True
    except UnicodeEncodeError:
        return False


def sha256(path: Path) -> str:
    """Empty for a file that cannot be read: whoever decodes it says why."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
