"""DPC's projection against the direct form: time, peak memory and equality of values.

    PYTHONPATH=. python tests/benchmarks/dpc_projection.py [--device cpu|cuda] [--threads 1]

A cloud of 8000 points is seen by 4 cameras of 4 candidates each in 64 cubed voxels; pictures, and
gradients of points and scale.  Over the schedule of sigma, 3 to 0.2, evenly:

    all        the squared error of every picture: each has a gradient
    hindsight  of every camera only the best of its four candidates has one, as in training

The direct form (tests/trainer/direct_projection.py) has dense grids for every candidate, 21 taps
along each axis, and autograd keeps what it wants.  Peak memory is that of a process of its own: the
most it held at any time less what it held before, as the kernel counts it (VmHWM), or on a GPU what
was allocated.  Ratios below 1 are for the projection of the trainer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.trainer import direct_projection as direct
from trainer import projection
from trainer.geometry import quaternion_from_campos

VOXELS, POINTS, VIEWS, CANDIDATES = 64, 8000, 4, 4
SIGMAS = [3.0, 2.3, 1.6, 0.9, 0.2]
FORMS = {"direct": direct.project, "lean": projection.project}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("FORM", "LOSS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options)))
        return
    same = equality(options.device)
    print(f"values: {same[0]:.1e} apart at most; gradients: {same[1]:.1e} of the largest\n")
    print(f"{'':12}{'':10}{'ms a cloud':>12}{'peak MiB':>12}    ms at each sigma {SIGMAS}")
    for loss in ("all", "hindsight"):
        found = {form: in_process(form, loss, options) for form in FORMS}
        for form, one in found.items():
            each = " ".join(f"{ms:7.2f}" for ms in one["ms"])
            print(f"{loss:12}{form:10}{mean(one['ms']):12.2f}{one['peak_mib']:12.1f}    {each}")
        faster = mean(found["lean"]["ms"]) / mean(found["direct"]["ms"])
        smaller = found["lean"]["peak_mib"] / found["direct"]["peak_mib"]
        print(f"{loss:12}{'ratio':10}{faster:12.3f}{smaller:12.3f}\n")


def in_process(form: str, loss: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a fresh process measures: the memory of one form must not hide that of another."""
    line = [sys.executable, __file__, "--device", options.device, "--one", form, loss]
    line += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(form: str, loss: str, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    points, scale, truth = scene(options.device)
    step(form, loss, points[:, :10], scale, truth, 0.5)  # libraries and kernels are loaded
    before = begin_peak(options.device)
    step(form, loss, points, scale, truth, SIGMAS[0])
    peak = end_peak(options.device) - before
    times = []
    for sigma in SIGMAS:
        best = min(seconds(form, loss, points, scale, truth, sigma) for _ in range(options.repeats))
        times.append(1000 * best / len(points))
    return {"ms": times, "peak_mib": peak / 2**20}


def scene(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Turned clouds [16, 8000, 3], scales [16], outlines [16, 64, 64] of 4 views x 4 candidates."""
    generator = torch.Generator().manual_seed(0)
    sphere = torch.nn.functional.normalize(torch.randn(POINTS, 3, generator=generator), dim=1)
    cloud = sphere * torch.tensor([0.2, 0.15, 0.35])
    cameras = quaternion_from_campos(torch.randn(VIEWS * CANDIDATES, 3, generator=generator))
    points = projection.view(cloud.expand(len(cameras), -1, -1), cameras)
    truth = (torch.rand(VIEWS, VOXELS, VOXELS, generator=generator) > 0.5).float()
    truth = truth.repeat_interleave(CANDIDATES, 0)
    return points.to(device), torch.full((len(cameras),), 0.7, device=device), truth.to(device)


def step(
    form: str, loss: str, points: Tensor, scale: Tensor, truth: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """Silhouettes, and the gradient of points."""
    points, scale = points.clone().requires_grad_(), scale.clone().requires_grad_()
    silhouette = FORMS[form](points, scale, sigma, VOXELS)[0]
    errors = 0.5 * (silhouette - truth).square().flatten(1).sum(1)
    if loss == "hindsight":
        errors = errors.view(VIEWS, CANDIDATES).amin(1)
    errors.sum().backward()
    assert points.grad is not None
    return silhouette.detach(), points.grad


def seconds(form: str, loss: str, *scene: Any) -> float:
    if scene[0].device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    step(form, loss, *scene)
    if scene[0].device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def begin_peak(device: str) -> int:
    """Bytes held now; from here on the most is watched."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    return status("VmRSS")


def end_peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device != "cpu" else status("VmHWM")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def equality(device: str) -> tuple[float, float]:
    """The largest difference of silhouettes, and of gradients as a share of the largest one."""
    points, scale, truth = (part[:4] for part in scene(device))
    values, gradients = 0.0, 0.0
    for sigma in SIGMAS:
        (a, da), (b, db) = (
            _plain(form, points, scale, truth, sigma) for form in ("direct", "lean")
        )
        values = max(values, float((a - b).abs().max()))
        gradients = max(gradients, float((da - db).abs().max() / da.abs().max()))
    return values, gradients


def _plain(
    form: str, points: Tensor, scale: Tensor, truth: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    return step(form, "all", points, scale, truth, sigma)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
