"""What RotationNet's rule costs: a step against the backbone's own forward and backward.

    python tests/benchmarks/rotationnet_step.py [--cameras circle] [--categories 6] [--image-px 64]

Both sides run the same network on the same images; one then sums its outputs, the other finds the
best candidates, labels every row and takes the cross-entropy.  CPU time of one thread, medians of
steps that take turns, so that a busy machine hits both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from trainer.backbones import names
from trainer.data import Facts
from trainer.models import Moment, rotationnet
from trainer.models.rotationnet import Config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", default="circle", choices=("circle", "dodecahedron", "miro"))
    parser.add_argument("--categories", type=int, default=6)
    parser.add_argument("--image-px", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--backbone", default="resnet18", choices=names())
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    views = {"circle": 12, "dodecahedron": 20, "miro": 160}[options.cameras]
    facts = Facts(
        categories=tuple(f"category{number}" for number in range(options.categories)),
        views=views,
        cameras=options.cameras,
        size=(options.image_px, options.image_px),
        passes=("rgba",),
        points=0,
        samples={},
        folders=(),
    )
    config = Config(steps=1, batch=options.batch, backbone=options.backbone)
    network = rotationnet.build(config, facts).train()
    images = torch.randint(0, 256, (options.batch, views, 3, *facts.size), dtype=torch.uint8)
    batch = {"images": images, "category": torch.arange(options.batch) % options.categories}
    moment = Moment(step=0, steps=1, generator=torch.Generator())

    def plain() -> Tensor:
        total: Tensor = network(images).sum()
        return total

    def ruled() -> Tensor:
        return rotationnet.loss(config, network, batch, moment)[0]

    def seconds(loss: Callable[[], Tensor]) -> float:
        network.zero_grad()
        start = time.process_time()
        loss().backward()
        return time.process_time() - start

    for loss in (plain, ruled):
        seconds(loss)
    pairs = [(seconds(plain), seconds(ruled)) for _ in range(options.rounds)]
    backbone, step = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{options.backbone}, {options.batch} shapes x {views} views of {options.image_px} px, "
        f"{options.categories} categories, torch {torch.__version__}\n"
        f"backbone alone {1000 * backbone:8.1f} CPU-ms\n"
        f"rotationnet    {1000 * step:8.1f} CPU-ms\n"
        f"ratio {step / backbone:.3f} (at most 1.05 is wanted)"
    )


if __name__ == "__main__":
    main()
