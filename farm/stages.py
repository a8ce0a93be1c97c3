"""The stages of a pipeline's file: one for each value of `each`, and whom they refer to. Pure.

A stage is a table of a job's options and three words of its own:

    kind    which job kind
    each    {option: [values]} or {word: {key: value}}: as many stages, named dpc.0, dpc.1 ...
            A value that is a table sets several options at once
    after   stages that must be done first, though nothing of theirs is read

An option's text that begins with @ stands for what a stage makes: @render, @dpc.0, @dpc/a/file.
Between two stages of the same `each`, @dpc means the one of the same value.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WORDS = ("kind", "each", "after")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NAMES = "letters, digits, _ and -, at most 64"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One stage as the file has it; only its form is checked."""

    name: str
    """dpc.0"""
    base: str
    """dpc: the name in the file."""
    kind: str
    keys: Mapping[str, str]
    """Word of `each` -> which of its values: {"seed": "0"}."""
    values: Mapping[str, Any]
    """Word of `each` -> that value, where it may be an option's."""
    options: Mapping[str, Any]
    """As in the file, references and all."""
    after: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """What a text such as @dpc.0/checkpoints names."""

    text: str
    base: str
    keys: tuple[str, ...]
    inside: str
    """/checkpoints, or nothing."""


def drafts(stages: Mapping[str, Any], problems: list[str]) -> list[Draft]:
    """Every stage of the file's table, in its order; what is wrong is added to problems."""
    found: list[Draft] = []
    for base, table in stages.items():
        try:
            found += _spread(base, table)
        except ValueError as error:
            problems.append(f"stage {base}: {error}")
    return found


def _spread(base: str, table: Any) -> Iterator[Draft]:
    if not NAME.fullmatch(base):
        raise ValueError(f"the name will not do; take {NAMES}")
    if not isinstance(table, dict):
        raise ValueError(f"a table [stages.{base}] is wanted")
    kind, after = table.get("kind"), table.get("after", [])
    if not isinstance(kind, str):
        raise ValueError('it has no kind; add a line such as kind = "render"')
    after = [after] if isinstance(after, str) else after
    if not isinstance(after, list) or not all(isinstance(name, str) for name in after):
        raise ValueError('after: names of stages are wanted, such as ["render"]')
    options = {name.replace("-", "_"): v for name, v in table.items() if name not in WORDS}
    axes = [_axis(word, values) for word, values in _each(table).items()]
    for choice in itertools.product(*axes):
        keys = {word: key for word, key, _ in choice}
        tables = [value for _, _, value in choice if isinstance(value, dict)]
        yield Draft(
            name=".".join([base, *keys.values()]),
            base=base,
            kind=kind,
            keys=keys,
            values={word: value for word, _, value in choice if not isinstance(value, dict)},
            options={
                **options,
                **{k.replace("-", "_"): v for each in tables for k, v in each.items()},
            },
            after=tuple(name if name.startswith("@") else f"@{name}" for name in after),
        )


def _each(table: Mapping[str, Any]) -> Mapping[str, Any]:
    each = table.get("each", {})
    if not isinstance(each, dict):
        raise ValueError("each: a table is wanted, such as { seed = [0, 1, 2] }")
    return {word.replace("-", "_"): values for word, values in each.items()}


def _axis(word: str, values: Any) -> list[tuple[str, str, Any]]:
    """(word, key, value) of every value; the key is the value itself where it is not given."""
    if isinstance(values, list):
        named = {_key(value): value for value in values}
        if len(named) < len(values):
            raise ValueError(f"each.{word}: a value is there twice; take it out")
        values = named
    if not isinstance(values, dict) or not values:
        raise ValueError(f"each.{word}: a list of values is wanted, or a table of them")
    for key in values:
        if not NAME.fullmatch(key):
            raise ValueError(
                f"each.{word}: {key!r} is no name for a stage; give a table of names and values "
                f"({NAMES})"
            )
    return [(word, key, value) for key, value in values.items()]


def _key(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace(".", "-")


# --- references ----------------------------------------------------------------------------------


def references(value: Any) -> Iterator[str]:
    """Every text in a value, its lists and tables, that begins with @."""
    if isinstance(value, str) and value.startswith("@"):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from references(each)


def parse(text: str) -> Reference:
    head, slash, inside = text.removeprefix("@").partition("/")
    base, *keys = head.split(".")
    return Reference(text, base, tuple(keys), slash + inside if inside else "")


def meant(
    text: str, groups: Mapping[str, list[Draft]], own: Mapping[str, str]
) -> tuple[list[Draft], set[str]]:
    """The stages that a reference means to a stage with these keys of its own; and which words
    of `each` chose them.

    Raises ValueError, with the remedy, where there is none.
    """
    reference = parse(text)
    if reference.base not in groups:
        raise ValueError(f"{text}: no stage {reference.base!r}; {near(reference.base, groups)}")
    found, shared = groups[reference.base], set()
    for key in reference.keys:
        found = [draft for draft in found if key in draft.keys.values()]
    if not found:
        there = ", ".join(f"@{draft.name}" for draft in groups[reference.base])
        raise ValueError(f"{text}: there is no such stage; there are {there}")
    for word, key in own.items():
        if len({draft.keys[word] for draft in found if word in draft.keys}) < 2:
            shared |= {word for draft in found if draft.keys.get(word) == key}
            continue  # not theirs, or chosen by the reference
        found = [draft for draft in found if draft.keys[word] == key]
        shared.add(word)
        if not found:
            raise ValueError(
                f"{text}: stage {reference.base} has no {word} {key}; give it the same each, or "
                f"name one, such as @{groups[reference.base][0].name}"
            )
    return found, shared


def groups(found: Iterable[Draft]) -> dict[str, list[Draft]]:
    """Name in the file -> its stages."""
    grouped: dict[str, list[Draft]] = {}
    for draft in found:
        grouped.setdefault(draft.base, []).append(draft)
    return grouped


def near(word: str, known: Iterable[str]) -> str:
    """Did you mean that? Or: these there are."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names) or 'none'}"
