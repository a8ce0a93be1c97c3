"""docs/security.md claims nothing that no test tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from renderer import members, storage
from renderer.shapes import LARGEST, references
from renderer.shapes.health import findings, gltf, textures

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)", path.read_text())
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_a_test_that_is_named_is_there(name: str) -> None:
    assert name in TESTS


def test_every_claim_in_bold_names_its_test() -> None:
    claims = re.split(r"^- ", PAGE, flags=re.M)[1:]

    assert [
        claim.splitlines()[0] for claim in claims if "**" in claim and "`test_" not in claim
    ] == []


def test_limits_are_those_of_the_code() -> None:
    from farm import kinds

    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", PAGE, re.M))

    assert rows["one texture, all of a shape"] == (
        f"{textures.MOST_MEGAPIXELS}, {textures.ALL_MEGAPIXELS} megapixels"
    )
    assert rows["triangles, objects of a shape"] == (
        f"{findings.MOST_TRIANGLES // 10**6} million, {gltf.MOST_OBJECTS:,}"
    )
    assert rows["other files that one mesh names"] == f"{references.MOST_NAMES:,}"
    longest = (references.LONGEST_JSON, kinds.LONGEST, storage.LONGEST_JSON)
    assert rows["JSON of a glTF, of a job or task, of a dataset"] == ", ".join(
        f"{most >> 20} MB" for most in longest
    )
    assert rows["one file"] == f"{LARGEST >> 30} GiB"
    assert rows["a picture of a dataset"] == f"{members.MOST_PIXELS} pixels a side"
