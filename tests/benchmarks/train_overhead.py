"""What the farm adds to training: the same run by `python -m trainer` and by `farm submit train`.

    python tests/benchmarks/train_overhead.py [--model double] [--steps 2000] [--rounds 2]

The tests' double has steps of milliseconds: the worst case for whatever is done at every step.
Prints the seconds from the first step to the last, which the farm should not change, and what
starting costs: the farm's own start, a look at the dataset by the model, the options' help.
The rounds take turns, and the best of each counts: whatever else runs on a machine only adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.trainer.datasets import make_dataset  # noqa: E402  of this clone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="double")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="over-") as name:
        folder = Path(name)
        make_dataset(folder / "data", shapes=12, cameras="circle", size=32, points=256)
        found: dict[str, list[tuple[float, float]]] = {"alone": [], "farm": []}
        for number in range(options.rounds):
            for how, times in found.items():
                times.append(measure(how, folder, options, number))
                whole, steps = times[-1]
                print(f"{how:<6} {whole:7.2f} s in all, {steps:7.2f} s of steps", flush=True)
    (alone, alone_steps), (farm, farm_steps) = (
        tuple(min(column) for column in zip(*times, strict=True)) for times in found.values()
    )
    start = (farm - farm_steps) - (alone - alone_steps)
    print(
        f"steps: the farm adds {100 * (farm_steps / alone_steps - 1):+.2f} %\n"
        f"start: the farm adds {start:.2f} s, which is 2 % of a run of {start / 0.02 / 60:.1f} min"
    )


def measure(
    how: str, folder: Path, options: argparse.Namespace, number: int
) -> tuple[float, float]:
    """Seconds of a whole run, as a person waits for it, and of its steps."""
    out = folder / f"{how}-{number}"
    spec = folder / f"{out.name}.json"
    job = {"model": options.model, "data": [str(folder / "data")], "out": str(out)}
    spec.write_text(json.dumps({**job, "preset": "tiny", "steps": options.steps}))
    line = {
        "alone": ["-m", "trainer", "train", str(spec)],
        "farm": ["-m", "farm.cli", "submit", "train", "--model", options.model, "--preset", "tiny",
                 "--data", str(folder / "data"), "--out", str(out), "--steps", str(options.steps)],
    }[how]  # fmt: skip
    environment = {
        "FARM_THREADS": "1",  # two threads that wait for each other measure what else runs
        **os.environ,
        "FARM_HOME": str(folder / f"home-{number}"),
        "FARM_MODEL_PACKAGES": "trainerdouble.models",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'trainer' / 'doubles'}",
    }
    began = time.monotonic()
    subprocess.run(
        [sys.executable, *line], cwd=ROOT, env=environment, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    whole = time.monotonic() - began
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return whole, lines[-1]["seconds"] - lines[0]["seconds"]


if __name__ == "__main__":
    main()
