"""Pieces of a page of HTML that needs nothing but itself and the pictures beside it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from trainer.clouds import DENSITY
from trainer.plots import DARK

STYLE = Path(__file__).with_name("report.css")


def document(title: str, body: Iterable[str]) -> str:
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>",
            *body,
            "</html>\n",
        ]
    )


def text(value: object) -> str:
    """Safe in HTML, between tags and in a quoted attribute."""
    return html.escape(str(value))


def words(name: str) -> str:
    """category_accuracy -> category accuracy"""
    return name.replace("_", " ").strip()


def number(value: object) -> str:
    """A value of JSON for people: four digits, thousands apart."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value and abs(value) < 1e-3:
            return f"{value:.3g}"
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 20 s, 41 s"""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """The few figures one looks for first: (name, value)."""
    inner = "".join(f"<div><b>{text(v)}</b><span>{text(k)}</span></div>" for k, v in facts)
    return f'<div class="tiles">{inner}</div>'


def cards(inner: Iterable[str]) -> str:
    found = [each for each in inner if each]
    return '<div class="cards">\n' + "\n".join(found) + "\n</div>" if found else ""


def card(title: str, inner: str, kind: str = "") -> str:
    head = f"<h3>{text(title)}</h3>" if title else ""
    return f'<section class="card {kind}">{head}{inner}</section>'


def folded(title: str, inner: str) -> str:
    return f"<details><summary>{text(title)}</summary>{inner}</details>"


def definitions(facts: Iterable[tuple[str, str]]) -> str:
    """(name, HTML) in two columns; those without a value are left out."""
    inner = "".join(f"<dt>{text(k)}</dt><dd>{v}</dd>" for k, v in facts if v)
    return f"<dl>{inner}</dl>"


def table(rows: Sequence[Mapping[str, Any]], first: str = "", bars: bool = True) -> str:
    """A row for each mapping; numbers to the right.

    first  the column that names the rows
    bars   numbers of a column that are all shares of 1 stand over a bar
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    kinds = {
        name: "" if name == first else _kind([row.get(name) for row in rows], bars)
        for name in columns
    }
    head = "".join(f'<th class="{kinds[name]}">{text(words(name))}</th>' for name in columns)
    lines = [
        "<tr>" + "".join(_cell(row.get(name), kinds[name]) for name in columns) + "</tr>"
        for row in rows
    ]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def figure(folder: Path, name: str, caption: str = "", kind: str = "card") -> str:
    """A picture of trainer.plots, or another; on a dark screen the one made for it.

    folder  of the page;  name  of the file, from there
    """
    path = folder / name
    with Image.open(path) as image:
        width, height = image.size
    shown = DENSITY if path.suffix == ".png" else 1
    rest = f'width="{math.ceil(width / shown)}" height="{math.ceil(height / shown)}" '
    rest += f'alt="{text(caption or Path(name).stem)}"'
    dark = Path(name).with_name(f"{path.stem}{DARK.suffix}{path.suffix}")
    if (folder / dark).exists():
        # Two pictures and not <picture>: that keeps the dark one when a page is printed.
        picture = f'<img class="on-light" src="{text(name)}" {rest}>'
        picture += f'<img class="on-dark" src="{text(dark)}" {rest}>'
    else:
        picture = f'<img src="{text(name)}" {rest}>'
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{picture}{below}</figure>'


def _kind(values: Sequence[Any], bars: bool) -> str:
    """Of a column: "", "number", or "number share"."""
    there = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in there):
        return ""
    share = any(isinstance(v, float) for v in there) and all(0 <= v <= 1 for v in there)
    return "number share" if bars and share else "number"


def _cell(value: Any, kind: str) -> str:
    if "share" in kind and value is not None:
        return f'<td class="{kind}" style="--share: {100 * value:.1f}%">{value:.3f}</td>'
    return f'<td class="{kind}">{text(number(value))}</td>'
