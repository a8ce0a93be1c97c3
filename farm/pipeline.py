"""A pipeline: a TOML file of jobs that read what others make, checked into a graph of jobs.

    name = "aist"
    out = "runs/aist-experiment"        products of stages that name no folder lie in there

    [stages.render]                     farm.stages tells what a stage has
    kind = "render"
    shapes = ["samples/cars"]

    [stages.dpc]
    kind = "train"
    model = "dpc"
    data = "@render"
    each = { seed = [0, 1, 2] }

    [experiment]                        for the report: kept as it is, its @references checked

Everything that can be known is checked before anything starts: the jobs are read as strictly as
those of `farm submit KIND`, and have all their paths, since where a product will lie is known
before it is made. What a job reads is looked at when it starts, by its kind's scan.
"""

from __future__ import annotations

import graphlib
import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from farm import kinds
from farm.errors import FarmError, UnknownKind
from farm.stages import NAME, NAMES, Draft, drafts, groups, meant, near, parse, references

VERSION = 1
TOP = ("name", "out", "stages", "experiment")


class PipelineRefused(FarmError, ValueError):
    """A file that is no pipeline: one line for each thing that is wrong."""

    def __init__(self, file: str, problems: Iterable[str]):
        super().__init__(file, tuple(problems))
        self.file, self.problems = file, tuple(problems)

    @property
    def lines(self) -> list[str]:
        return [f"{self.file}: {problem}" for problem in self.problems]

    def __str__(self) -> str:
        return "; ".join(self.lines)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job of a pipeline, as it will be recorded."""

    name: str
    kind: str
    role: str
    id: str
    """Of the job."""
    job: str
    """The resolved job, as canonical JSON."""
    product: str
    """Folder of what it makes."""
    needs: tuple[str, ...]
    """Stages that must be done first."""
    keys: dict[str, str] = field(default_factory=dict)
    """Which values of `each` it has: {"seed": "0"}."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A checked file: stages in an order in which each comes after what it needs."""

    id: str
    """Twelve hex digits, of the folder: the same folder is the same pipeline."""
    name: str
    file: str
    out: str
    stages: tuple[Stage, ...]
    experiment: dict[str, Any] = field(default_factory=dict)
    """As in the file."""
    references: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Every @reference of the experiment -> the stages it means."""


def read(path: Path, cwd: Path, packages: Iterable[str] = ()) -> Pipeline:
    """The pipeline in a file; its paths are seen from cwd.

    Raises PipelineRefused with everything that is wrong; OSError.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # also of bytes that are no UTF-8
        raise PipelineRefused(str(path), [f"not TOML: {error}"]) from None
    return check(table, str(path), cwd, tuple(packages))


def check(table: Mapping[str, Any], file: str, cwd: Path, packages: tuple[str, ...]) -> Pipeline:
    """The pipeline that a table describes. Raises PipelineRefused."""
    problems: list[str] = []
    for word in table:
        if word not in TOP:
            problems.append(f"unknown word {word!r} at the top; {near(word, TOP)}")
    name = table.get("name", Path(file).stem)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problems.append(f"name = {name!r}: take {NAMES}")
    out = table.get("out", f"runs/{name}")
    stages, experiment = table.get("stages"), table.get("experiment", {})
    if not isinstance(out, str):
        problems.append(f"out = {out!r}: a folder is wanted")
    if not isinstance(experiment, dict):
        problems.append("experiment: a table [experiment] is wanted")
    if not isinstance(stages, dict) or not stages:
        problems.append("no stages; add a table such as [stages.render]")
    if problems:
        raise PipelineRefused(file, problems)
    assert isinstance(stages, dict)
    folder = os.path.normpath(cwd / Path(out).expanduser())
    found = drafts(stages, problems)
    graph = Graph(found, set(stages), problems)
    made = Checked(graph, folder, cwd, packages, problems).stages()
    told = {}
    for text in references(experiment):
        try:
            told[text] = tuple(draft.name for draft in meant(text, graph.groups, {})[0])
        except ValueError as error:
            problems.append(f"experiment: {error}")
    if problems:
        raise PipelineRefused(file, dict.fromkeys(problems))
    return Pipeline(
        id=hashlib.sha256(kinds.canonical({"pipeline": folder})).hexdigest()[:12],
        name=name,
        file=file,
        out=folder,
        stages=tuple(made),
        experiment=json.loads(json.dumps(experiment, default=str)),
        references=told,
    )


class Graph:
    """Which stage needs which."""

    def __init__(self, found: list[Draft], names: set[str], problems: list[str]):
        self.groups = groups(found)
        self.needs: dict[str, list[str]] = {}
        self.used: dict[str, set[str]] = {}
        """Stage -> words of `each` that choose among those it refers to."""
        self.broken: set[str] = set()
        """Stages with a reference that will not do, which is told."""
        for draft in found:
            self.needs[draft.name], self.used[draft.name] = [], set()
            for text in (*references(dict(draft.options)), *draft.after):
                try:
                    theirs, used = meant(text, self.groups, draft.keys)
                except ValueError as error:
                    if parse(text).base not in names.difference(self.groups):
                        problems.append(f"stage {draft.base}: {error}")
                    self.broken.add(draft.name)
                    continue
                self.needs[draft.name] += [each.name for each in theirs]
                self.used[draft.name] |= used
            self.needs[draft.name] = list(dict.fromkeys(self.needs[draft.name]))
        try:
            order = list(graphlib.TopologicalSorter(self.needs).static_order())
        except graphlib.CycleError as error:
            circle = " needs ".join(reversed(error.args[1]))
            problems.append(f"stages in a circle: {circle}; take one of these references out")
            self.order = found
            return
        # As in the file, as far as needs allow: by how many stages lie before one, at most.
        depth: dict[str, int] = {}
        for name in order:
            depth[name] = 1 + max((depth[need] for need in self.needs[name]), default=-1)
        self.order = sorted(found, key=lambda draft: depth[draft.name])


class Checked:
    """Makes stages of drafts, in their order."""

    def __init__(
        self,
        graph: Graph,
        out: str,
        cwd: Path,
        packages: tuple[str, ...],
        problems: list[str],
    ):
        self.graph, self.out, self.cwd = graph, out, cwd
        self.packages, self.problems = packages, problems
        # Until it is known: where it would lie if its stage named no folder.
        self.products = {draft.name: str(Path(out) / draft.name) for draft in graph.order}

    def stages(self) -> list[Stage]:
        made: list[Stage] = []
        for draft in self.graph.order:
            try:
                if stage := self._stage(draft):
                    made.append(stage)
            except UnknownKind as unknown:
                known = near(unknown.name, unknown.known)
                self.problems.append(f"stage {draft.base}: no job kind {unknown.name!r}; {known}")
            except (ValueError, TypeError, OSError) as error:
                text = str(error).removeprefix(f"stage {draft.base}: ")
                self.problems.append(f"stage {draft.base}: {' '.join(text.split())}")
        self._doubles(made)
        for stage in made:
            self._files(stage)
        return made

    def _stage(self, draft: Draft) -> Stage | None:
        """The stage; None where it is told already why there is none."""
        kind = kinds.load(draft.kind, self.packages)
        words = Words(kind, draft)
        values = words.values(self.graph.used[draft.name])
        if draft.name in self.graph.broken:
            return None
        options = {name: self._filled(draft, words, name, v) for name, v in values.items()}
        product = getattr(kind.module, "PRODUCT", "out")
        if product == "out":
            options.setdefault("out", str(Path(self.out) / draft.name))
        job = kind.module.resolve(words.job(options), self.cwd)
        text = kinds.canonical(job).decode()
        kind.read_job(text)
        self.products[draft.name] = str(getattr(job, product))
        return Stage(
            name=draft.name,
            kind=kind.name,
            role=kind.queue(job),
            id=kind.job_id(job),
            job=text,
            product=str(getattr(job, product)),
            needs=tuple(self.graph.needs[draft.name]),
            keys=dict(draft.keys),
        )

    def _filled(self, draft: Draft, words: Words, name: str, value: Any) -> Any:
        """A value with every reference replaced by folders of products."""
        if isinstance(value, dict):
            return {key: self._filled(draft, words, name, each) for key, each in value.items()}
        if isinstance(value, list):
            many = [self._filled(draft, words, name, each) for each in value]
            return [one for each in many for one in (each if isinstance(each, list) else [each])]
        if not (isinstance(value, str) and value.startswith("@")):
            return [value] if words.takes_many(name) else value
        found, _ = meant(value, self.graph.groups, draft.keys)
        inside = parse(value).inside
        folders = [self.products[each.name] + inside for each in found]
        if words.takes_many(name) or (len(folders) > 1 and words.takes_many(name, unknown=True)):
            return folders
        if len(folders) > 1:
            raise ValueError(
                f"{name} = {value!r} is {len(folders)} products, and it takes one; give this "
                f"stage the same each, or name one, such as @{found[0].name}"
            )
        return folders[0]

    def _doubles(self, made: list[Stage]) -> None:
        first: dict[str, Stage] = {}
        for stage in made:
            other = first.setdefault(stage.id, stage)
            if other is stage and getattr(self._module(stage), "PRODUCT", "out") == "out":
                other = first.setdefault(stage.product, stage)
            if other is not stage:
                self.problems.append(
                    f"stage {stage.name}: it makes {self._short(stage.product)}, as stage "
                    f"{other.name} does; give it another out, or take one of them out"
                )

    def _files(self, stage: Stage) -> None:
        """Every full path in a job is there, or is what a stage makes that comes before."""
        mine = self._before(stage)
        fields = json.loads(stage.job)
        fields.pop("out", None)
        for name, value in fields.items():
            for text in _paths(value):
                within = [
                    other
                    for other, product in self.products.items()
                    if text == product or text.startswith(f"{product}/")
                ]
                if mine.intersection(within):
                    continue
                others = [other for other in within if other != stage.name]
                if others:
                    self.problems.append(
                        f"stage {stage.name}: {name} = {self._short(text)} is what stage "
                        f"{others[0]} makes; write @{others[0]}, so that it waits for it"
                    )
                elif not within and not os.path.exists(text):
                    self.problems.append(
                        f"stage {stage.name}: {name} = {self._short(text)}: no such file or "
                        "folder; give one that is there, or a stage's product as @STAGE"
                    )

    def _before(self, stage: Stage) -> set[str]:
        """Every stage that is done when this one starts."""
        found: set[str] = set()
        todo = list(stage.needs)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.graph.needs[name]
        return found

    def _module(self, stage: Stage) -> Any:
        return kinds.load(stage.kind, self.packages).module

    def _short(self, path: str) -> str:
        return os.path.relpath(path, self.cwd) if path.startswith(f"{self.cwd}/") else path


class Words:
    """The options of one stage's kind: the job's fields, and those of what it names."""

    def __init__(self, kind: kinds.Kind, draft: Draft):
        self.kind, self.draft = kind, draft
        self.hints = get_type_hints(kind.module.Job)
        self.more, self.open = self._more()

    def _more(self) -> tuple[Any, bool]:
        """The dataclass of further options, or None; and whether there may be others."""
        if not hasattr(self.kind.module, "more_options"):
            return None, False
        words = []
        for name, value in {**self.draft.options, **self.draft.values}.items():
            if isinstance(value, str) and name in self.hints:
                words += [f"--{name.replace('_', '-')}", value]
        try:
            more = self.kind.module.more_options(words)
        except ValueError:  # no such model, which resolve tells; or no torch: a worker tells
            return None, True
        if more is not None:
            self.hints = {**get_type_hints(more), **self.hints}
        return more, False

    def values(self, used: set[str]) -> dict[str, Any]:
        """The options with the values of `each`. Raises ValueError, naming one that is not."""
        draft, known = self.draft, [name for name in self.hints if name != "config"]
        found = dict(draft.options)
        for word, value in draft.values.items():
            if word in self.hints or (self.open and word not in used):
                found[word] = value
            elif word not in used:
                raise ValueError(
                    f"each.{word} is no option of {draft.kind}, and no stage that it refers to "
                    f"has it; {near(word, known)}"
                )
        for name in found:
            if name not in self.hints and not self.open:
                raise ValueError(f"{draft.kind} has no option {name!r}; {near(name, known)}")
        return found

    def takes_many(self, name: str, unknown: bool = False) -> bool:
        """Whether an option is a list; `unknown` of one that nobody here knows."""
        if name not in self.hints:
            return unknown
        hint = self.hints[name]
        arms = get_args(hint) if get_origin(hint) not in (tuple, list) else (hint,)
        return any(get_origin(arm) in (tuple, list) for arm in arms)

    def job(self, options: Mapping[str, Any]) -> Any:
        """The job, read strictly. Raises BadJson, ValueError."""
        fields = get_type_hints(self.kind.module.Job)
        own = {name: value for name, value in options.items() if name in fields}
        rest = {name: value for name, value in options.items() if name not in fields}
        thing = f"stage {self.draft.base}"
        if rest and self.more is None:
            own["config"] = {**own.get("config", {}), **rest}
        job = self.kind.read_job(_json(own), thing)
        if rest and self.more is not None:
            chosen = kinds.read(self.more, _json(rest), thing)
            job = self.kind.module.with_options(job, chosen)
        return job


def about(pipeline: Pipeline) -> dict[str, Any]:
    """What pipeline.json says of it, less the states."""
    return {
        "version": VERSION,
        "id": pipeline.id,
        "name": pipeline.name,
        "file": pipeline.file,
        "stages": {
            stage.name: {
                **{k: v for k, v in asdict(stage).items() if k not in ("name", "role")},
                "job": json.loads(stage.job),
                "needs": list(stage.needs),
            }
            for stage in pipeline.stages
        },
        "experiment": pipeline.experiment,
        "references": {text: list(names) for text, names in pipeline.references.items()},
    }


def _paths(value: Any) -> Iterable[str]:
    if isinstance(value, str) and value.startswith("/"):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _paths(each)


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:  # TOML has dates
        raise ValueError(f"{error}; give it as text") from None
