"""A pipeline's file is checked whole before anything starts: one line for each thing wrong."""

# ruff: noqa: E501  (messages stand here in one line, as people see them)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farm import kinds
from farm.pipeline import PipelineRefused, read

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PACKAGES = ("farmdouble.jobs",)
TOP = 'name = "p"\nout = "made"\n'
TWO = '[stages.a]\nkind = "count"\nthings = ["n:1"]\n[stages.b]\nkind = "join"\ndata = "@a"\n'


def plan(text, folder):
    path = folder / "p.toml"
    path.write_text(text)
    return read(path, folder, PACKAGES)


def problems(text, folder):
    with pytest.raises(PipelineRefused) as refused:
        plan(text, folder)
    assert all(line.startswith(f"{folder / 'p.toml'}: ") for line in refused.value.lines)
    return list(refused.value.problems)


def named(pipeline):
    return {stage.name: stage for stage in pipeline.stages}


def jobs(pipeline):
    return {stage.name: json.loads(stage.job) for stage in pipeline.stages}


def test_a_reference_is_the_folder_of_what_that_stage_makes(tmp_path):
    pipeline = plan(TOP + TWO, tmp_path)

    b = named(pipeline)["b"]
    assert json.loads(b.job)["data"] == [f"{tmp_path}/made/a"]
    assert b.needs == ("a",)
    assert b.product == f"{tmp_path}/made/b"
    assert pipeline.out == f"{tmp_path}/made"


def test_a_stage_is_the_job_that_its_own_line_would_submit(tmp_path):
    stage = named(plan(TOP + TWO, tmp_path))["b"]
    kind = kinds.load("join", PACKAGES)
    typed = kind.module.Job(data=("made/a",), out="made/b")

    assert stage.id == kind.job_id(kind.module.resolve(typed, tmp_path))


def test_a_stage_that_names_its_folder_makes_it_there(tmp_path):
    stages = TWO.replace('things = ["n:1"]', 'things = ["n:1"]\nout = "data/cars"')

    assert jobs(plan(TOP + stages, tmp_path))["b"]["data"] == [f"{tmp_path}/data/cars"]


def test_stages_come_after_what_they_need_whatever_the_order_in_the_file(tmp_path):
    backwards = "[stages.b]" + TWO.split("[stages.b]")[1] + TWO.split("[stages.b]")[0]

    assert [stage.name for stage in plan(TOP + backwards, tmp_path).stages] == ["a", "b"]


EACH = """
[stages.a]
kind = "count"
things = "n:1"
each = { seed = [3, 5] }
[stages.same]
kind = "join"
data = "@a"
each = { seed = [3, 5] }
[stages.named]
kind = "join"
data = ["@a.5", "@same.3/inside"]
[stages.all]
kind = "join"
data = "@a"
"""


def test_each_makes_one_stage_of_every_value(tmp_path):
    made = jobs(plan(TOP + EACH, tmp_path))

    assert [made["a.3"]["seed"], made["a.5"]["seed"]] == [3, 5]
    assert made["a.3"]["out"] == f"{tmp_path}/made/a.3"


def test_a_reference_between_the_same_each_means_the_same_value(tmp_path):
    made = jobs(plan(TOP + EACH, tmp_path))

    assert made["same.3"]["data"] == [f"{tmp_path}/made/a.3"]
    assert made["same.5"]["data"] == [f"{tmp_path}/made/a.5"]


def test_a_reference_may_name_a_value_and_a_path_inside_and_stand_in_a_list(tmp_path):
    made = jobs(plan(TOP + EACH, tmp_path))

    assert made["named"]["data"] == [f"{tmp_path}/made/a.5", f"{tmp_path}/made/same.3/inside"]
    assert made["all"]["data"] == [f"{tmp_path}/made/a.3", f"{tmp_path}/made/a.5"]


GRID = """
[stages.a]
kind = "count"
things = "n:1"
each = { how = { fast = { seconds = 0.5, seed = 1 }, slow = { seconds = 2.0 } } }
[stages.b]
kind = "join"
data = []
one = "@a"
each = { how = ["fast", "slow"], seed = [0, 1] }
"""


def test_a_value_may_set_several_options_and_two_words_make_a_grid(tmp_path):
    pipeline = plan(TOP + GRID, tmp_path)
    made = jobs(pipeline)

    assert (made["a.fast"]["seconds"], made["a.fast"]["seed"]) == (0.5, 1)
    assert (made["a.slow"]["seconds"], made["a.slow"]["seed"]) == (2.0, 0)
    assert [name for name in made if name.startswith("b")] == [
        "b.fast.0", "b.fast.1", "b.slow.0", "b.slow.1",
    ]  # fmt: skip
    assert made["b.slow.1"]["one"] == f"{tmp_path}/made/a.slow"
    assert named(pipeline)["b.slow.1"].keys == {"how": "slow", "seed": "1"}


def test_the_experiment_is_kept_and_its_references_are_told(tmp_path):
    more = '[experiment]\nrows = [{ name = "x", runs = "@a" }]\nreal = "@named"\n'

    pipeline = plan(TOP + EACH + more, tmp_path)

    assert pipeline.experiment == {"rows": [{"name": "x", "runs": "@a"}], "real": "@named"}
    assert pipeline.references == {"@a": ("a.3", "a.5"), "@named": ("named",)}


def test_the_same_folder_is_the_same_pipeline(tmp_path):
    assert plan(TOP + TWO, tmp_path).id == plan(TOP + EACH, tmp_path).id
    assert plan(TOP + TWO, tmp_path).id != plan(TWO, tmp_path).id


STAGE = '[stages.c]\nkind = "join"\ndata = "@a"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "not TOML: Invalid value (at end of document)"),
        ('out = "x"\n', "no stages; add a table such as [stages.render]"),
        (f'otu = "x"\n{TWO}', "unknown word 'otu' at the top; did you mean 'out'?"),
        (f'name = "a b"\n{TWO}', "name = 'a b': take letters, digits, _ and -, at most 64"),
        (TWO.replace('"count"', '"cuont"'), "stage a: no job kind 'cuont'; did you mean 'count'?"),
        (TWO.replace('kind = "count"\n', ""), 'stage a: it has no kind; add a line such as kind = "render"'),
        (TWO.replace("@a", "@aa"), "stage b: @aa: no stage 'aa'; did you mean 'a'?"),
        (TWO + "sead = 1\n", "stage b: join has no option 'sead'; did you mean 'seed'?"),
        (TWO + 'seed = "1"\n', "stage b: field 'seed' ('1'): input should be a valid integer"),
        (TWO + 'after = "zz"\n', "stage b: @zz: no stage 'zz'; there are a, b"),
        (TWO + "each = { seed = 3 }\n", "stage b: each.seed: a list of values is wanted, or a table of them"),
        (TWO + "each = { seed = [] }\n", "stage b: each.seed: a list of values is wanted, or a table of them"),
        (TWO + "each = { seed = [1, 1] }\n", "stage b: each.seed: a value is there twice; take it out"),
        (TWO + "each = { sead = [1, 2] }\n", "stage b: each.sead is no option of join, and no stage that it refers to has it; did you mean 'seed'?"),
        (TWO.replace("@a", "photos"), "stage b: data = photos: no such file or folder; give one that is there, or a stage's product as @STAGE"),
        (TWO.replace("@a", "runs/p/a"), "stage b: data = runs/p/a is what stage a makes; write @a, so that it waits for it"),
        (TWO + STAGE + 'out = "runs/p/b"\n', "stage c: it makes runs/p/b, as stage b does; give it another out, or take one of them out"),
        (TWO + '[experiment]\nreal = "@x"\n', "experiment: @x: no stage 'x'; there are a, b"),
        (EACH + STAGE + 'one = "@a"\n', "stage c: one = '@a' is 2 products, and it takes one; give this stage the same each, or name one, such as @a.3"),
        (EACH + STAGE.replace("@a", "@a.4"), "stage c: @a.4: there is no such stage; there are @a.3, @a.5"),
        (EACH + STAGE + "each = { seed = [3, 9] }\n", "stage c: @a: stage a has no seed 9; give it the same each, or name one, such as @a.3"),
        (TWO + "seed = 2026-11-20\n", "stage b: Object of type date is not JSON serializable; give it as text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_the_stage_and_the_remedy(text, told, tmp_path):
    assert problems(text, tmp_path) == [told]


def test_a_circle_is_told_by_the_names_in_it(tmp_path):
    circle = TWO.replace('things = ["n:1"]', 'things = ["n:1", "@c"]') + STAGE.replace("@a", "@b")

    (told,) = problems(circle, tmp_path)

    assert told.startswith("stages in a circle: ")
    assert told.endswith("; take one of these references out")
    assert {part for part in told.split() if len(part) == 1} == {"a", "b", "c"}


def test_a_stage_that_needs_itself_is_a_circle(tmp_path):
    assert problems(TWO.replace("@a", "@b"), tmp_path) == [
        "stages in a circle: b needs b; take one of these references out"
    ]


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    wrong = TWO.replace("n:1", "/no/such").replace("@a", "@z") + STAGE + "x = 1\n"

    assert problems(wrong, tmp_path) == [
        "stage b: @z: no stage 'z'; there are a, b, c",
        "stage c: join has no option 'x'; there are data, one, out, seconds, seed, fail",
        "stage a: things = /no/such: no such file or folder; give one that is there, or a "
        "stage's product as @STAGE",
    ]


TRAIN = """
[stages.render]
kind = "render"
shapes = "samples/cars"
[stages.dpc]
kind = "train"
model = "dpc"
preset = "tiny"
data = "@render"
steps = 7
each = { seed = [0, 1] }
[stages.judge]
kind = "evaluate"
run = "@dpc"
data = "@render"
each = { seed = [0, 1] }
"""


def test_a_trained_model_takes_its_own_options_as_its_command_line_does(tmp_path):
    pytest.importorskip("torch")
    pipeline = plan(TOP + TRAIN.replace("steps = 7", "steps = 7\nbatch = 3"), tmp_path)
    kind = kinds.load("train")
    made = jobs(pipeline)

    options = kind.module.more_options(["--model", "dpc", "--preset", "tiny"])
    typed = kind.module.Job(
        model="dpc", preset="tiny", data=("made/render",), steps=7, out="made/dpc.0"
    )
    typed = kind.module.resolve(kind.module.with_options(typed, options(batch=3)), tmp_path)
    assert made["dpc.0"]["config"] == {"batch": 3}
    assert named(pipeline)["dpc.0"].id == kind.job_id(typed)
    assert made["judge.1"]["run"] == f"{tmp_path}/made/dpc.1"
    assert named(pipeline)["judge.1"].product == f"{tmp_path}/made/dpc.1", "a run's evaluation"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("stpes = 7", "stage dpc: train has no option 'stpes'; did you mean 'steps'?"),
        ('batch = "3"', "stage dpc: field 'batch' ('3'): input should be a valid integer"),
    ],
)
def test_a_wrong_option_of_a_model_is_told_by_name(wrong, told, tmp_path):
    pytest.importorskip("torch")

    assert problems(TOP + TRAIN.replace("steps = 7", wrong), tmp_path) == [told]


def test_an_unknown_model_is_told(tmp_path):
    (told,) = problems(TOP + TRAIN.replace('"dpc"', '"dcp"'), tmp_path)

    assert told.startswith("stage dpc: no model 'dcp'")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("aist*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_pipelines(path):
    assert read(path, EXAMPLES.parents[1]).stages
