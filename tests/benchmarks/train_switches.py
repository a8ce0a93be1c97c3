"""What each of the trainer's switches is worth: images/s of whole training steps.

    python tests/benchmarks/train_switches.py [--backbone resnet18] [--size 128] [--batch 64]

One step: forward, loss, backward, optimizer, of an image classifier of torchvision on random
images that are on the device already. Every row changes one thing about the row above that says
`fp32`; the last has all that paid. On a CPU compare only what is there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.nn import functional as F

from trainer import device
from trainer.backbones import make_backbone
from trainer.session import fuse

SWITCHES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "channels_last": {"channels_last": True},
    "fused": {"fused": True},
    "compile": {"compile": True},
    "bf16, channels_last, fused": {"precision": "bf16", "channels_last": True, "fused": True},
    "all": {"precision": "bf16", "channels_last": True, "fused": True, "compile": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", nargs="*", default=list(SWITCHES))
    options = parser.parse_args()
    on = device.choose("auto")
    device.steady(on, device.threads())
    torch.use_deterministic_algorithms(False)
    print(f"{device.name(on)}, torch {torch.__version__}, {options.backbone}, "
          f"{options.batch} images of {options.size} px")  # fmt: skip
    first = 0.0
    for name in options.only:
        rate = images_per_s(step(on, options, **SWITCHES[name]), on, options)
        first = first or rate
        print(f"{name:<28} {rate:9.1f} images/s  {rate / first:5.2f} x", flush=True)


def step(
    on: torch.device, options: argparse.Namespace, *, precision: str = "fp32",
    channels_last: bool = False, fused: bool = False, compile: bool = False,
) -> Callable[[], None]:  # fmt: skip
    """One training step, as the loop does it."""
    torch.manual_seed(0)
    network = make_backbone(options.backbone, 10).to(on).train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    optimizer = fuse(optimizer) if fused else optimizer
    forward = torch.compile(network) if compile else network
    images = torch.rand(options.batch, 3, options.size, options.size)
    batch = {"images": images, "labels": torch.randint(10, (options.batch,))}
    batch = device.send(batch, on, channels_last)

    def once() -> None:
        with device.autocast(precision, on):
            loss = F.cross_entropy(forward(batch["images"]), batch["labels"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def images_per_s(once: Callable[[], None], on: torch.device, options: argparse.Namespace) -> float:
    for _ in range(3):
        once()
    wait(on)
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < options.seconds:
        once()
        steps += 1
        if steps % 5 == 0:
            wait(on)
    wait(on)
    return steps * options.batch / (time.monotonic() - began)


def wait(on: torch.device) -> None:
    if on.type == "cuda":
        torch.cuda.synchronize(on)


if __name__ == "__main__":
    main()
