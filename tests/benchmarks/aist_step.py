"""What a training step of AIST takes, against the same networks and losses written the plain way.

    python tests/benchmarks/aist_step.py [--size 256] [--filters 64] [--batch 4] [--rounds 3]

Plain is CycleGAN's alternating step from torch's own layers: fp32, default layout, a pass for every
picture's every way, two plain Adams, discriminators frozen by requires_grad.  Ours is the step that
the trainer makes, in fp32 and in bf16 where the processor computes that.  All begin from the same
weights and see the same pictures; the losses of the first step are compared.

Rounds take turns and the medians count, so that a busy machine hits all; on a CPU it is CPU time of
--threads threads.  The plain way runs in a process of its own: how memory is kept is set for a
whole process.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import chance, device, features, session
from trainer.models import Moment, aist
from trainer.models.aist import AIST, Config

WANTED = {"cpu": 1.3, "cuda": 2.0}
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
"""Relative, of every term: bf16 keeps 8 bits."""


# --- the plain way ----------------------------------------------------------------------------


class PlainBlock(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        layers: list[nn.Module] = []
        for last in (False, True):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n)]
            layers += [] if last else [nn.ReLU(True)]
        self.inner = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = images + self.inner(images)
        return out


def plain_generator(n: int, blocks: int) -> nn.Module:
    def norm(channels: int) -> list[nn.Module]:
        return [nn.InstanceNorm2d(channels), nn.ReLU(True)]

    up = [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1) for c in (4 * n, 2 * n)]
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(3, n, 7), *norm(n),
        nn.Conv2d(n, 2 * n, 3, 2, 1), *norm(2 * n), nn.Conv2d(2 * n, 4 * n, 3, 2, 1), *norm(4 * n),
        *(PlainBlock(4 * n) for _ in range(blocks)),
        up[0], *norm(2 * n), up[1], *norm(n),
        nn.ReflectionPad2d(3), nn.Conv2d(n, 3, 7), nn.Tanh(),
    )  # fmt: skip


def plain_discriminator(n: int, count: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, n, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    widths = [n * min(2**k, 8) for k in range(count + 1)]
    for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        stride = 2 if k + 1 < count else 1
        layers += [nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs)]
        layers += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))


class Plain:
    """The step as one writes it from the papers."""

    def __init__(self, config: Config, network: AIST, phi: nn.Module, to: torch.device):
        self.config, self.phi = config, phi
        self.g, self.f = (plain_generator(config.filters, config.blocks).to(to) for _ in "gf")
        self.d_x, self.d_y = (
            plain_discriminator(config.judge_filters, config.judge_layers).to(to) for _ in "xy"
        )
        for mine, theirs in zip(
            (self.g, self.f, self.d_x, self.d_y),
            (network.g, network.f, network.d_x, network.d_y),
            strict=True,
        ):
            for ours, other in zip(mine.parameters(), theirs.parameters(), strict=True):
                ours.data.copy_(other.data)
        self.painters, self.judges = [self.g, self.f], [self.d_x, self.d_y]
        self.adams = [
            torch.optim.Adam([p for n in some for p in n.parameters()], 2e-4, (0.5, 0.999))
            for some in (self.painters, self.judges)
        ]
        self.kept: list[list[Tensor]] = [[], []]

    def step(self, x_image: Tensor, y_image: Tensor) -> dict[str, Tensor]:
        config, g, f, phi = self.config, self.g, self.f, self.phi
        x, y = (image[:, :3].float() / 127.5 - 1 for image in (x_image, y_image))
        a, b = (image[:, 3:].float() / 255 for image in (x_image, y_image))
        for judge in self.judges:
            judge.requires_grad_(False)
        fake_y, fake_x = a * (g(x) + 1) - 1, b * (f(y) + 1) - 1
        back_x, back_y = a * (f(fake_y) + 1) - 1, b * (g(fake_x) + 1) - 1
        same_y, same_x = b * (g(y) + 1) - 1, a * (f(x) + 1) - 1
        terms = {
            "adversarial": ((self.d_y(fake_y) - 1) ** 2).mean()
            + ((self.d_x(fake_x) - 1) ** 2).mean(),
            "cycle": 10 * F.l1_loss(back_x, x) + 10 * F.l1_loss(back_y, y),
            "identity": config.identity * 10 * (F.l1_loss(same_y, y) + F.l1_loss(same_x, x)),
            "features": config.feature_weight
            * sum(
                ((phi(was) - phi(now)).abs().flatten(1).mean(1) ** 2).mean()
                for was, now in ((x, fake_y), (y, fake_x))
            ),
            "alpha": config.alpha_weight
            * sum(
                ((m > 0.5) * F.relu(4 / 255 - (made.amax(1, True) + 1) / 2) * 255 / 4).mean()
                for m, made in ((a, fake_y), (b, fake_x))
            ),
        }
        self.adams[0].zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.adams[0].step()
        for judge in self.judges:
            judge.requires_grad_(True)
        self.adams[1].zero_grad()
        pairs = zip(("judge_x", "judge_y"), self.judges, (x, y), (fake_x, fake_y), strict=True)
        for name, judge, real, made in pairs:  # a pool gives back what it was given while it fills
            loss = 0.5 * (((judge(real) - 1) ** 2).mean() + (judge(made.detach()) ** 2).mean())
            loss.backward()
            terms[name] = loss
        self.adams[1].step()
        return terms


# --- measuring --------------------------------------------------------------------------------


def pictures(config: Config, seed: int, to: torch.device) -> Tensor:
    """uint8 [B, 4, S, S]: coloured noise in a block on black."""
    generator = torch.Generator().manual_seed(seed)
    side = config.size
    low = torch.rand(config.batch, 4, side // 8, side // 8, generator=generator)
    images = F.interpolate(low, (side, side), mode="bilinear") * 254 + 1
    images[:, 3] = 0
    images[:, 3, side // 4 : -side // 4, side // 5 : -side // 5] = 255
    return (images * (images[:, 3:] > 0)).byte().to(to)


def side(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One way's seconds, step by step, and the first step's terms."""
    to = device.choose(options.device)
    torch.set_num_threads(options.threads)
    config = Config(
        size=options.size, filters=options.filters, blocks=options.blocks, pool=50,
        batch=options.batch, judge_filters=options.filters, identity=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AIST(config)
    # Features of fresh weights take as long as those of learned ones.
    source = features.Source(
        told="fresh", mean=(0.5,) * 3, std=(0.25,) * 3, tensors=_fresh_resnet()
    )
    phi = features.Features(source).to(to)
    network = network.to(to)
    x, y = pictures(config, 1, to), pictures(config, 2, to)
    if options.way == "plain":
        plain = Plain(config, network, _plain_layout(phi), to)
        run = lambda step: plain.step(x, y)  # noqa: E731
    else:
        device.steady(to, options.threads)
        network = network.to(memory_format=torch.channels_last)
        network.beside["phi"] = phi
        adam, _ = aist.optimizer(config, network)
        if to.type == "cuda":
            adam = session.fuse(adam)
        wrapped: Any = torch.compile(network) if options.compile else network
        precision = device.autocast("fp32" if options.way == "fp32" else "bf16", to)

        def run(step: int) -> dict[str, Tensor]:
            moment = Moment(step=step, steps=100, generator=chance.at(0, step, 0))
            with precision:
                total, terms = aist.loss(config, wrapped, {"x": x, "y": y}, moment)
            total.backward()  # type: ignore[no-untyped-call]
            adam.step()
            adam.zero_grad()
            return terms

    for step in range(options.rounds + 1):
        sys.stdin.readline()  # whose turn it is
        _wait(to)
        began = time.process_time() if to.type == "cpu" else time.perf_counter()
        terms = run(step)
        _wait(to)
        ended = time.process_time() if to.type == "cpu" else time.perf_counter()
        yield {
            "seconds": ended - began,
            "terms": {name: float(value.detach()) for name, value in terms.items()},
        }


def _fresh_resnet() -> dict[str, Tensor]:
    import torchvision

    return dict(torchvision.models.resnet18().state_dict())


def _plain_layout(phi: features.Features) -> nn.Module:
    """Phi without its channels last."""

    class Same(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = phi.layers(((images + 1) / 2 - phi.mean) / phi.std)
            return out

    return Same()


def _wait(to: torch.device) -> None:
    if to.type == "cuda":
        torch.cuda.synchronize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument(
        "--way", choices=["plain", "fp32", "bf16"],
        help="one alone, a line of JSON for each step: all side by side want 14 GB each with 64 "
        "filters at batch 4; a newline on stdin for each step",
    )  # fmt: skip
    options = parser.parse_args()
    if options.way:
        for told in side(options):
            print(json.dumps(told), flush=True)
        return 0
    ways = ["plain", "fp32", "bf16"] if _has_bf16() else ["plain", "fp32"]
    with contextlib.ExitStack() as stack:
        children = {
            way: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, __file__, *sys.argv[1:], "--way", way],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for way in ways
        }
        rounds: list[dict[str, Any]] = []
        for _ in range(options.rounds + 1):
            told = {}
            for way, child in children.items():
                assert child.stdin and child.stdout
                child.stdin.write("\n")
                child.stdin.flush()
                if not (line := child.stdout.readline()):
                    raise SystemExit(f"{way} ended without an answer: for want of memory? --way")
                told[way] = json.loads(line)
            rounds.append(told)
    return _tell(options, ways, rounds)


def _tell(options: argparse.Namespace, ways: list[str], rounds: list[dict[str, Any]]) -> int:
    to = device.choose(options.device)
    print(
        f"{device.name(to)}, torch {torch.__version__}: batch {options.batch}, {options.size} px, "
        f"{options.filters} filters, {options.blocks} blocks"
    )
    seconds = {way: statistics.median(r[way]["seconds"] for r in rounds[1:]) for way in ways}
    best, agree = 0.0, True
    for way in ways:
        ratio = seconds["plain"] / seconds[way]
        line = f"{way:<6} {seconds[way]:8.3f} s a step  {ratio:5.2f} times as fast as plain"
        if way != "plain":
            first, plain = (rounds[0][w]["terms"] for w in (way, "plain"))
            apart = max(abs(first[n] - plain[n]) / max(abs(plain[n]), 1e-3) for n in plain)
            line += f"; terms of the loss agree to {apart:.1e} (wanted {TOLERANCE[way]:.0e})"
            agree &= apart <= TOLERANCE[way]
            best = max(best, ratio)
        print(line)
    print(f"ratio {best:.2f} (at least {WANTED[to.type]} is wanted)")
    return 0 if agree and best >= WANTED[to.type] else 1


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    # Others compute it through fp32, slowly.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


if __name__ == "__main__":
    sys.exit(main())
