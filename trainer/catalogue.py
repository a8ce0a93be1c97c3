"""What models there are, read from their files: no torch, and every model in a few milliseconds.

A preset's steps and batch are worked out from its text where that is plain (a `Config(...)`, a
`replace(other(), ...)`, literals and arithmetic); where it is not, the model is imported, which
needs the train extra and takes seconds.
"""

from __future__ import annotations

import ast
import importlib.util
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer import models
from trainer.errors import UnknownModel

PLAN = ("steps", "batch")
ARITHMETIC: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How long and how wide a run of a model is."""

    name: str
    steps: int | None
    """None: not known without importing the model, which was not possible."""
    batch: int | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model, for people."""

    name: str
    about: str
    """First line of its file."""
    paper: str
    needs: str
    """What a dataset must have."""
    presets: tuple[Preset, ...]
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Option -> what it holds: the datasets there are beside those of --data."""


def catalogue() -> Iterator[Entry]:
    """Every model in order of name."""
    yield from map(entry, models.find())


def that_have(part: str) -> tuple[str, ...]:
    """Names of the models whose files have a function of that name: `stylize`."""
    return tuple(name for name in models.find() if part in _Text(_tree(name)).functions)


def entry(name: str) -> Entry:
    """What there is to say of a model. Raises UnknownModel."""
    tree = _tree(name)
    text = _Text(tree)
    try:
        presets = [text.plan(preset, maker) for preset, maker in text.presets()]
    except _NotPlain:
        presets = list(_imported(name, text))
    return Entry(
        name=name,
        about=_about(name, ast.get_docstring(tree) or ""),
        paper=text.string("PAPER"),
        needs=text.string("NEEDS"),
        presets=tuple(presets),
        datasets=text.datasets(),
    )


def _tree(name: str) -> ast.Module:
    known = models.find()
    if name not in known:
        raise UnknownModel(name, tuple(known))
    spec = importlib.util.find_spec(f"{known[name]}.{name}")
    assert spec is not None and spec.origin is not None, f"{known[name]}.{name} has no file"
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _about(name: str, docstring: str) -> str:
    """The first line, without the model's own name at its beginning."""
    first, _, rest = docstring.partition("\n")[0].rstrip(".").partition(": ")
    return rest if first.lower() == name else f"{first}: {rest}" if rest else first


def _imported(name: str, text: _Text) -> Iterator[Preset]:
    try:
        presets = models.load(name).PRESETS
    except ImportError:
        yield from (Preset(name=preset, steps=None, batch=None) for preset in text.names())
        return
    for preset, make in presets.items():
        config = make()
        yield Preset(name=preset, steps=config.steps, batch=config.batch)


class _NotPlain(Exception):
    """The text does more than can be told without running it."""


class _Text:
    """A model's file as text: its values, its classes, its functions."""

    def __init__(self, tree: ast.Module):
        self.values: dict[str, ast.expr] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                self.values.update(
                    (target.id, node.value)
                    for target in node.targets
                    if isinstance(target, ast.Name)
                )
            elif (
                isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
            ):
                self.values[node.target.id] = node.value
            elif isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node

    def string(self, name: str) -> str:
        """A text in one line; "" where it is not plain."""
        try:
            return " ".join(str(self.value(self.values[name])).split())
        except (KeyError, _NotPlain):
            return ""

    def names(self) -> list[str]:
        """Of the presets."""
        found = self.values.get("PRESETS")
        keys = found.keys if isinstance(found, ast.Dict) else []
        return [str(key.value) for key in keys if isinstance(key, ast.Constant)]

    def datasets(self) -> dict[str, str]:
        """DATASETS, which is plain: it must be known where torch is not."""
        found = self.values.get("DATASETS")
        if not isinstance(found, ast.Dict):
            return {}
        pairs = zip(found.keys, found.values, strict=True)
        return {str(self.value(name)): str(self.value(told)) for name, told in pairs if name}

    def presets(self) -> list[tuple[str, ast.expr]]:
        found = self.values.get("PRESETS")
        if not isinstance(found, ast.Dict) or len(self.names()) != len(found.values):
            raise _NotPlain
        return list(zip(self.names(), found.values, strict=True))

    def plan(self, preset: str, maker: ast.expr) -> Preset:
        """What a preset's function gives."""
        config = self.config(ast.Call(maker, [], []))
        if not all(isinstance(config.get(name), int) for name in PLAN):
            raise _NotPlain
        return Preset(name=preset, steps=config["steps"], batch=config["batch"])

    def config(self, made: ast.expr | None) -> dict[str, Any]:
        """Steps and batch of an expression that gives a Config."""
        if not isinstance(made, ast.Call) or any(word.arg is None for word in made.keywords):
            raise _NotPlain
        maker = made.func.attr if isinstance(made.func, ast.Attribute) else None
        maker = made.func.id if isinstance(made.func, ast.Name) else maker
        own = {word.arg: word.value for word in made.keywords if word.arg in PLAN}
        if isinstance(made.func, ast.Lambda):
            base = self.config(made.func.body)
        elif maker == "replace" and len(made.args) == 1:
            base = self.config(made.args[0])
        elif maker == "Config" and not made.args:
            base = self.defaults()
        elif maker in self.functions and not made.args and not made.keywords:
            base = self.config(self.returned(self.functions[maker]))
        else:
            raise _NotPlain
        return {**base, **{str(name): self.value(value) for name, value in own.items()}}

    def returned(self, function: ast.FunctionDef) -> ast.expr | None:
        """What a function gives that does nothing but set names and return."""
        *before, last = [node for node in function.body if not _is_docstring(node)]
        own = {name.id for node in before for name in ast.walk(node) if isinstance(name, ast.Name)}
        plain = all(isinstance(node, ast.Assign) for node in before)
        if not plain or not isinstance(last, ast.Return) or own & set(_read_by_plan(last)):
            raise _NotPlain
        return last.value

    def defaults(self) -> dict[str, Any]:
        if "Config" not in self.classes:
            raise _NotPlain
        return {
            node.target.id: self.value(node.value)
            for node in self.classes["Config"].body
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id in PLAN
            and node.value is not None
        }

    def value(self, node: ast.expr) -> Any:
        """Of a literal, a name of this file, or arithmetic with them."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id in self.values:
            return self.value(self.values[node.id])
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            return ARITHMETIC[type(node.op)](self.value(node.left), self.value(node.right))
        raise _NotPlain


def _read_by_plan(returned: ast.Return) -> Iterator[str]:
    """The names that steps and batch are worked out from."""
    for word in ast.walk(returned):
        if isinstance(word, ast.keyword) and word.arg in PLAN:
            yield from (node.id for node in ast.walk(word) if isinstance(node, ast.Name))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
