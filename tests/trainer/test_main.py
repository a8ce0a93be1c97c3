"""`python -m trainer`: the same without the farm, and mistakes told in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.run import Run

ROOT = Path(__file__).parents[2]


def python(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], text=True, capture_output=True, timeout=120, **more
    )  # fmt: skip


@pytest.fixture
def spec(blocks, tmp_path) -> Path:
    path = tmp_path / "spec.json"
    job = {"model": "double", "data": [str(blocks)], "out": "run", "steps": 5}
    path.write_text(json.dumps(job))
    return path


def test_training_and_evaluating_import_no_celery_redis_or_blender(spec, tmp_path, doubles):
    measure = tmp_path / "measure.json"
    measure.write_text('{"run": "run"}')
    code = (
        "import sys\n"
        "from trainer.__main__ import main\n"
        f"sys.argv[1:] = ['train', {str(spec)!r}]; assert main() == 0\n"
        f"sys.argv[1:] = ['evaluate', {str(measure)!r}]; assert main() == 0\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = {**doubles, "PYTHONPATH": f"{ROOT}:{doubles['PYTHONPATH']}"}

    done = python("-c", code, cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stderr
    *told, modules = done.stdout.splitlines()
    assert not {"celery", "kombu", "redis", "bpy"} & set(json.loads(modules.replace("'", '"')))
    assert told[0].startswith("run: 5 steps in ")
    assert any(line.split()[0] == "accuracy" for line in told)
    assert len(Run(tmp_path / "run").evaluations()) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modle": "double"}, "spec.json: unknown field 'modle'"),
        ({"model": "dubble"}, "no model 'dubble'; did you mean double?"),
        ({"config": {"wdith": 3}}, "--model double: unknown field 'wdith'"),
        ({"data": ["nothing"]}, "no dataset in "),
        ({"resume": False}, "run holds a run already"),
    ],
)
def test_what_will_not_do_is_one_line_and_data_error(spec, tmp_path, doubles, change, told):
    if change == {"resume": False}:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "job.json").touch()
    spec.write_text(json.dumps({**json.loads(spec.read_text()), **change}))

    done = python("-m", "trainer", "train", str(spec), cwd=tmp_path, env=doubles)

    assert done.returncode == os.EX_DATAERR, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("trainer: ") and told in line


def test_ctrl_c_says_how_to_go_on(spec, tmp_path, doubles):
    job = json.loads(spec.read_text())
    spec.write_text(json.dumps({**job, "steps": 500, "config": {"seconds": 0.1}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", str(spec)], cwd=tmp_path, env=doubles,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)

    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("trainer: interrupted; the same line goes on")


def test_doctor_says_what_this_machine_can_train_with(doubles):
    done = python("-m", "trainer", "doctor", env=doubles)

    found = json.loads(done.stdout)
    assert found["ok"] and found["device"]["kind"] in ("cpu", "cuda")
    assert found["threads"] == 1 and found["versions"]["torch"]


def test_without_torch_a_line_says_which_extra_to_install(doubles, tmp_path):
    code = "import sys; sys.modules['torch'] = None; from {0} import main; sys.exit(main())"
    farm = code.format("farm.cli")
    words = ["submit", "train", "--model", "double", "--data", "a"]

    submitted = python("-c", farm, *words, env=doubles, cwd=ROOT)
    doctor = python("-c", code.format("trainer.__main__"), "doctor", env=doubles, cwd=ROOT)

    assert submitted.returncode == 2
    assert submitted.stderr == (
        "farm: --model double: its options need torch, which is not installed here; "
        "pip install 'shapefarm[train]', or give the job as a file: --job FILE\n"
    )
    assert doctor.returncode == os.EX_UNAVAILABLE
    assert "pip install 'shapefarm[train]'" in json.loads(doctor.stdout)["reason"]


def test_a_model_s_options_are_in_the_help_with_the_preset_s_values(doubles):
    words = ("submit", "train", "--model", "double", "--preset", "paper", "--help")

    done = python("-m", "farm.cli", *words, env=doubles, cwd=ROOT)

    assert done.returncode == 0
    assert "--width INT      Channels. (default: 32)" in done.stdout
    assert "--kernels" in done.stdout and "--no-norm" in done.stdout
    assert "--config" not in done.stdout
    assert done.stdout.count("--steps") == 1
