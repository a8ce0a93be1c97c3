"""Shapes made by rule, without end: `samples/cars`, `samples/all`, `samples/cars/5000`.

They need no download and no licence, and are written once, in ShapeNet v2's layout:

    <root>/<synset>/<model id>/models/model_normalized.obj, .mtl     images/texture0.png

The root is FARM_SAMPLES_ROOT, else `samples` in FARM_HOME, else ~/.local/state/farm/samples.
A model's id is made from VERSION, its category and its number alone, and so are its bytes: number
17 is the same alone or among a million, here or elsewhere. `rules/` says how they are made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from renderer.shapes.candidate import Available, Candidate, Category
from renderer.shapes.rules import Rule, make, rules
from renderer.shapes.rules.wavefront import MESH, files

VERSION = 1
"""Of the rules; another version's shapes have other ids and so other folders."""

USUAL = 20  # shapes of a category when nobody says how many: two minutes on two cores


def find(rest: str, up: str | None, limit: int | None) -> Iterator[Candidate]:
    """The first shapes of one category, or of all in turn; made where they are not there yet.

    rest    a category, singular or plural, or its synset; empty or `all` for every one; then
            perhaps the number of the first: `cars/5000`
    limit   how many, all categories together; None: 20 of each

    Raises ValueError if there is no such category or the root cannot be written.
    """
    head, _, last = rest.rpartition("/")
    first = int(last) if last.isdecimal() and head else 0
    chosen = _chosen(head if first else rest)
    wanted = limit if limit is not None else USUAL * len(chosen)
    for number in range(wanted):
        rule = chosen[number % len(chosen)]
        index = first + number // len(chosen)
        yield Candidate(
            group=rule.SYNSET,
            id=model_id(rule, index),
            category=rule.NAME,
            synset=rule.SYNSET,
            path=str(written(rule, index)),
            up=up or "y",
        )


def available() -> Available:
    known = rules().values()
    return Available(
        root=str(root()),
        note="made by rule, as many as --limit asks for (FARM_SAMPLES_ROOT)",
        categories=tuple(Category(name=rule.NAME, synset=rule.SYNSET) for rule in known),
    )


def root() -> Path:
    """Where samples are kept."""
    if set_ := os.environ.get("FARM_SAMPLES_ROOT"):
        return Path(set_).expanduser().absolute()
    home = os.environ.get("FARM_HOME") or "~/.local/state/farm"
    return Path(home).expanduser().absolute() / "samples"


def model_id(rule: Rule, index: int) -> str:
    """A stable name of 32 hex digits, as ShapeNet's models have."""
    return hashlib.sha256(f"samples {VERSION} {rule.SYNSET} {index}".encode()).hexdigest()[:32]


def written(rule: Rule, index: int) -> Path:
    """The mesh file of a sample, made first if it is not there.

    The model's folder appears whole or not at all, also when two programs make it at once.
    Raises ValueError if the root cannot be written.
    """
    folder = root() / rule.SYNSET / model_id(rule, index)
    if (folder / MESH).is_file():
        return folder / MESH
    content = files(make(rule, index))
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, data in content.items():
            target = unfinished / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        (unfinished / "images").mkdir(exist_ok=True)
        try:
            unfinished.rename(folder)
        except OSError:
            if not (folder / MESH).is_file():  # else somebody was faster, with the same bytes
                raise
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise ValueError(
            f"samples root {root()}: {error.strerror or error}; set FARM_SAMPLES_ROOT to a folder"
            " that can be written"
        ) from error
    return folder / MESH


def _chosen(rest: str) -> list[Rule]:
    known = rules()
    if rest in ("", "all"):
        return list(known.values())
    for plural, rule in known.items():
        if rest.lower() in (plural, rule.NAME, rule.SYNSET, *rule.ALSO):
            return [rule]
    raise ValueError(f"no samples of {rest!r}; there are {', '.join(known)} and all")
