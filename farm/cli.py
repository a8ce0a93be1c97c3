"""`farm`: the tree of commands, and how their mistakes are told.

Exit codes: 0 done, 1 not done, 2 wrong use, 130 after Ctrl-C. A mistake is one line on stderr.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

DONE, NOT_DONE, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

HELP = """\
farm: turns folders of 3D shapes into multi-view datasets, and trains models on them

  farm submit render --shapes samples/cars         sample cars, rendered on this machine
  farm submit render --shapes shapenet/chair --views 24 --size 256
  farm status                                      what is going on
  farm dataset verify data/samples-cars            is it all there, and right?
"""
FOOT = """\
`farm COMMAND --help` tells more. With nothing configured a private farm runs on this machine;
with farm.toml or FARM_BROKER_URL the same commands talk to the lab's.
"""
GROUPS = (
    ("Jobs", ("submit", "status", "watch", "logs", "pause", "resume", "cancel", "retry")),
    ("Data", ("shapes", "dataset")),
    ("Models", ("models", "report")),
    (
        "Machines",
        ("up", "down", "workers", "dashboard", "doctor", "controller", "worker", "deploy"),
    ),
)


WHOLE, NUMBER = "a whole number is wanted", "a number is wanted"
# What tyro says, and what a person is told: the option, the value, what is wanted.
PLAIN: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^(\S+): no type matching INT .* from \['(.*?)'\].*", rf"\1 \2: {WHOLE}"),
    (r"^(\S+): no type matching FLOAT .* from \['(.*?)'\].*", rf"\1 \2: {NUMBER}"),
    (r"^(\S+): invalid literal for int\(\) with base 10: '(.*)'", rf"\1 \2: {WHOLE}"),
    (r"^(\S+): could not convert string to float: '(.*)'", rf"\1 \2: {NUMBER}"),
    (r"^Missing value for argument '(\S+)'.*", r"\1: a value is wanted"),
    (
        r"^invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*)\)\.?",
        lambda match: f"{match[2]} {match[1]}: {_choices(match[3])} is wanted",
    ),
)


class Wrong(Exception):
    """Wrong use, told in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(
        100_000
    )  # collecting while modules are imported takes a tenth of `farm status`
    try:
        return _main(words)
    except (Wrong, ValueError) as wrong:
        return _tell(wrong, WRONG_USE)
    except KeyboardInterrupt:
        goes_on = "; the same line goes on from here" if words[:1] == ["submit"] else ""
        print(f"farm: interrupted{goes_on}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `farm status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE


def _main(words: list[str]) -> int:
    if words and words[0] == "--version":
        from farm.version import version

        print(f"farm {version()}")
        return DONE
    from farm.commands import commands

    tree = commands()
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help(tree))
        return DONE
    path, command = _find(tree, words)
    if command is None:
        return DONE
    arguments = words[len(path) :]
    if hasattr(command, "choose"):
        command = command.choose(arguments)
    parsed = _parse(command, ["farm", *path], arguments)
    from farm.errors import FarmError

    try:
        return int(parsed())
    except (BrokenPipeError, ValueError):
        raise
    except (FarmError, OSError) as error:
        return _tell(error, NOT_DONE)
    except Exception as error:
        # A command that asks Redis has imported its client by now; the others never do.
        client = sys.modules.get("redis")
        if client is None or not isinstance(error, client.RedisError):
            raise
        return _tell(error, NOT_DONE)


def _find(tree: Mapping[str, Any], words: list[str]) -> tuple[list[str], Any]:
    """The command that the first words name; None after a group's help was printed."""
    path: list[str] = []
    found: Any = tree
    while isinstance(found, Mapping):
        rest = words[len(path) :]
        if not rest or rest[0] in ("-h", "--help"):
            print(_group_help(path, found))
            return path, None
        if rest[0] not in found:
            raise Wrong(_unknown(path, rest[0], found))
        found = found[rest[0]]
        path.append(rest[0])
    return path, found


def _unknown(path: list[str], word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    what = "job kind" if path == ["submit"] else "command"
    return f"no {what} {' '.join([*path[1:], word])!r}; {meant}"


def _parse(command: Any, path: list[str], arguments: list[str]) -> Any:
    """The command with its options, by tyro, whose boxes become one line."""
    import tyro

    config = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    prog = " ".join(path)
    if any(word in ("-h", "--help") for word in arguments):
        with _width():
            return tyro.cli(command, prog=prog, args=arguments, config=config)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _width(1000):
            return tyro.cli(command, prog=prog, args=arguments, config=config)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise Wrong(_one_line(said.getvalue(), prog)) from None


@contextlib.contextmanager
def _width(columns: int | None = None) -> Iterator[None]:
    """tyro draws its boxes as wide as the terminal: wide enough that no message is broken."""
    before = os.environ.get("COLUMNS")
    if columns:
        os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        if columns:
            if before is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = before


def _one_line(boxes: str, prog: str) -> str:
    """What tyro's boxes say, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", boxes)
    lines = [line.strip("│╭╮╰╯ ") for line in text.splitlines()]
    parts: list[list[str]] = [[]]
    for line in lines[1:]:
        if line and not line.strip("─"):
            parts.append([])
        elif line:
            parts[-1].append(line)
    first = parts[0]
    options = [
        match[0]
        for line in (*first[1:], *itertools.chain.from_iterable(parts[1:]))
        if (match := re.match(r"--[a-z][\w-]*|[A-Z][A-Z_|]+(?= |$)", line))
    ]
    message = first[0] if first else "wrong use"
    if message.startswith(("Missing from", "Required")):
        message = f"{', '.join(options) or 'an argument'} must be given"
    elif message.startswith("Unrecognized"):
        message = message[0].lower() + message[1:]
        if options:
            message += f"; perhaps you meant {options[0]}"
    else:
        message = " ".join(first)
        message = re.sub(r"^Error parsing (\S+): ", _subject, message)
        for pattern, plain in PLAIN:
            message = re.sub(pattern, plain, message)
    return f"{message} (see {prog} --help)" if "must be given" in message else message


def _subject(match: re.Match[str]) -> str:
    """Keep the option's name; drop a dataclass's own, which a person never typed."""
    return f"{match[1]}: " if match[1].startswith("--") or match[1].isupper() else ""


def _choices(listed: str) -> str:
    """'y', 'None', 'z' -> y or z"""
    words = sorted(set(re.findall(r"'([^']*)'", listed)) - {"None"})
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _help(tree: Mapping[str, Any]) -> str:
    lines = [HELP]
    named = {word for _, words in GROUPS for word in words}
    rest = tuple(word for word in tree if word not in named)
    for title, words in (*GROUPS, ("More", rest)):
        there = [word for word in words if word in tree]
        if there:
            lines.append(f"{title}:")
            lines += [f"  {word:<11} {_about(tree[word])}" for word in there]
            lines.append("")
    return "\n".join([*lines, FOOT.rstrip()])


def _group_help(path: list[str], group: Mapping[str, Any]) -> str:
    name = " ".join(["farm", *path])
    width = max(map(len, group), default=0) + 2
    lines = [f"{name} ...", ""]
    lines += [f"  {word:<{width}} {_about(group[word])}" for word in group]
    lines += ["", f"`{name} {next(iter(group), 'WORD')} --help` tells more."]
    return "\n".join(lines)


def _about(command: Any) -> str:
    """A command's line in the help: the first of its docstring, or a group's words."""
    if isinstance(command, Mapping) and not getattr(command, "about", ""):
        return ", ".join(command)
    text = getattr(command, "about", "") or (command.__doc__ or "")
    return str(text).strip().splitlines()[0].rstrip(".") if text.strip() else ""


def _tell(error: BaseException, code: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    from farm.words import typed

    print(f"farm: {typed(text)}", file=sys.stderr)
    return code


def entry() -> NoReturn:
    from farm import bytecode

    bytecode.keep()
    sys.exit(main())


if __name__ == "__main__":
    entry()
