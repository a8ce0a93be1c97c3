"""Job kinds are found by folder and read strictly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm import kinds
from farm.errors import BadJson, UnknownKind
from renderer.shapes.shape import Shape

sys.path.insert(0, str(Path(__file__).parent / "doubles"))
COUNT = kinds.load("count", ["farmdouble.jobs"])
KINDS = [kinds.load(name, ["farmdouble.jobs"]) for name in kinds.find(["farmdouble.jobs"])]
jobs = st.builds(
    COUNT.module.Job,
    things=st.lists(st.text()).map(tuple),
    out=st.none() | st.text(),
    per_task=st.integers(1, 10**9),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
    seed=st.integers(-(2**63), 2**63 - 1),
    max_failures=st.integers(0, 10**6).map(str) | st.integers(0, 100).map("{}%".format),
)


@settings(deadline=None)  # the first read builds pydantic's validator
@given(job=jobs)
def test_a_job_survives_json(job):
    assert COUNT.read_job(kinds.canonical(job)) == job


@settings(deadline=None)
@given(job=jobs, text=st.text())
def test_what_does_not_change_the_result_does_not_change_the_id(job, text):
    assert COUNT.job_id(dataclasses.replace(job, max_failures=text)) == COUNT.job_id(job)
    assert COUNT.job_id(dataclasses.replace(job, seed=job.seed + 1)) != COUNT.job_id(job)


def test_an_id_is_the_same_for_ever():
    job = COUNT.module.Job(things=("é",), out="/x", max_failures="7")
    text = '{"job":{"out":"/x","per_task":4,"seconds":0.0,"seed":0,"things":["é"]},"kind":"count"}'

    assert COUNT.job_id(job) == hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"things": ["a"], "vews": 3}', "job: unknown field 'vews'"),
        ('{"seed": 3}', "job: field 'things' is missing"),
        (
            '{"things": ["a"], "seed": "3"}',
            "job: field 'seed' ('3'): input should be a valid integer",
        ),
        ('{"things": ["a"], "seconds": NaN}', "job: not strict JSON: NaN is not a number of JSON"),
        (
            '{"things": ["a"], "seconds": 1e999}',
            "job: not strict JSON: 1e999 is too large a number",
        ),
        ('{"things": [], "things": []}', "job: not strict JSON: field 'things' is there twice"),
        ('{"things": ["a"], "per_task": 0}', "job: per-task (0) must be at least 1"),
        (
            '{"things": ["a"], "seed": 1, "x": 1, "y": 2}',
            "job: unknown field 'x'; unknown field 'y'",
        ),
    ],
)
def test_a_job_that_does_not_fit_is_refused_by_name_in_one_line(text, told):
    with pytest.raises(BadJson) as refused:
        COUNT.read_job(text)

    assert str(refused.value) == told


def test_an_unknown_kind_is_told_with_those_there_are():
    with pytest.raises(UnknownKind) as refused:
        kinds.load("rendr", ["farmdouble.jobs"])

    assert (
        str(refused.value) == f"no job kind 'rendr'; there are {', '.join(k.name for k in KINDS)}"
    )


def test_nan_is_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        kinds.canonical({"x": float("nan")})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_documents_every_field(kind):
    import inspect

    source = inspect.getsource(kind.module.Job)
    for field in dataclasses.fields(kind.module.Job):
        after = source.split(f"\n    {field.name}:", 1)[1].split("\n", 1)[1].lstrip()
        assert after.startswith('"""'), f"{kind.name}: {field.name} has no docstring"
    assert json.loads(kinds.canonical({"roles": kind.role}))["roles"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_leaves_out_fields_that_it_has(kind):
    names = {field.name for field in dataclasses.fields(kind.module.Job)}

    assert getattr(kind.module, "NOT_IDENTITY", frozenset()) <= names
    assert "out" in names


def test_canonical_json_is_the_same_of_dataclasses_and_of_what_they_hold():
    shape = Shape(
        key="car-1", id="1", category="car", synset=None, path="/ä.obj", sha256="0", up="y"
    )
    task = kinds.load("render").module.Task(
        name="train-0", split="train", shapes=(shape, shape), items=("car-1", "car-1")
    )

    assert kinds.canonical(task) == kinds.canonical(dataclasses.asdict(task))
    with pytest.raises(TypeError, match="Path"):
        kinds.canonical({"x": Path("/")})
