"""What a Dockerfile says, as plain data: stages of steps, and what runs in the end.

The parts of the format that our files use; anything else is an error, so that no line of them
can go unexecuted.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Template

from dockerfile_parse import DockerfileParser

from tests.docker.ground import PATH


@dataclass(frozen=True, kw_only=True)
class Run:
    """One RUN line."""

    command: str
    user: str
    workdir: str
    environment: Mapping[str, str]
    caches: tuple[str, ...]
    """Where cache mounts lie."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One COPY line."""

    sources: tuple[str, ...]
    target: str
    stage: str
    """The stage that the sources are in; "" for the folder that is built from."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One stage, and what it is as an image."""

    name: str
    base: str
    steps: tuple[Run | Copy, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"
    workdir: str = "/"
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    health_options: Mapping[str, str] = field(default_factory=dict)


def read(text: str, args: Mapping[str, str]) -> list[Image]:
    """The stages of a Dockerfile, in order; args are `--build-arg`.

    Raises ValueError for an instruction that is not understood.
    """
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()))
    outer: dict[str, str] = {}
    images: list[Image] = []
    local: dict[str, str] = {}
    for line in parser.structure:
        word, value = line["instruction"], line["value"]
        if word == "COMMENT":
            continue
        if word == "ARG":
            name, _, default = value.partition("=")
            (local if images else outer)[name] = args.get(name, default)
            continue
        if word == "FROM":
            base, _, name = value.partition(" AS ")
            images.append(Image(name=name, base=_filled(base, outer)))
            local = {}
            continue
        images[-1] = _with(images[-1], word, value, local)
    return images


def _with(image: Image, word: str, value: str, local: Mapping[str, str]) -> Image:
    known = {**local, **image.environment}
    match word:
        case "ENV":
            pairs = (part.partition("=") for part in shlex.split(value))
            found = {name: _filled(text, {"PATH": PATH, **known}) for name, _, text in pairs}
            return replace(image, environment={**image.environment, **found})
        case "USER":
            return replace(image, user=_filled(value, known))
        case "WORKDIR":
            return replace(image, workdir=_filled(value, known))
        case "RUN":
            flags, command = _flags(value)
            mounts = [dict(part.partition("=")[::2] for part in m.split(",")) for m in flags]
            if any(mount.get("type") != "cache" for mount in mounts):
                raise ValueError(f"RUN {value}: only cache mounts are understood")
            run = Run(
                command=command,
                user=image.user,
                workdir=image.workdir,
                environment=known,
                caches=tuple(mount["target"] for mount in mounts),
            )
            return replace(image, steps=(*image.steps, run))
        case "COPY":
            flags, words = _flags(value)
            *sources, target = shlex.split(_filled(words, known))
            copy = Copy(
                sources=tuple(sources),
                target=target if target.startswith("/") else f"{image.workdir}/{target}",
                stage=flags[0] if flags else "",
            )
            return replace(image, steps=(*image.steps, copy))
        case "ENTRYPOINT":
            return replace(image, entrypoint=tuple(json.loads(value)))
        case "CMD":
            return replace(image, cmd=tuple(json.loads(value)))
        case "HEALTHCHECK":
            options, _, command = value.partition("CMD ")
            pairs = (part.removeprefix("--").partition("=") for part in options.split())
            return replace(
                image,
                health=tuple(json.loads(command)),
                health_options={name: text for name, _, text in pairs},
            )
        case "LABEL" | "STOPSIGNAL":
            return image
    raise ValueError(f"{word}: not understood")


def _filled(text: str, known: Mapping[str, str]) -> str:
    return Template(text).substitute(known)


def _flags(value: str) -> tuple[list[str], str]:
    """The values of the --options before a RUN's or COPY's own words."""
    flags = []
    while match := re.match(r"--(?:mount|from)=(\S+)\s+", value):
        flags.append(match[1])
        value = value[match.end() :]
    if value.startswith("--"):
        raise ValueError(f"{value}: not understood")
    return flags, value
