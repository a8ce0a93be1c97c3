"""A file of variables means the same to a shell, to systemd and to the keeper."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy import variables

values = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" ")
)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), values))
def test_reading_undoes_writing(given: dict[str, str]) -> None:
    assert variables.read(variables.text(given)) == given


def test_a_shell_reads_what_was_meant(tmp_path: Path) -> None:
    value = "a b$HOME`id`\"quoted\" 'single' back\\slash $(id) # %"
    file = tmp_path / "environment"
    file.write_text(variables.text({"FIRST": value, "SECOND": ""}))

    said = subprocess.run(
        ["sh", "-c", f'set -a; . {file}; set +a; env | grep -E "^(FIRST|SECOND)="'],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert sorted(said.splitlines()) == [f"FIRST={value}", "SECOND="]
