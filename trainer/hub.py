"""Where torch hub keeps a detector's weights: plain paths, so that no torch is needed to look."""

from __future__ import annotations

import os
from pathlib import Path

SITE = "download.pytorch.org"
DETECTORS = {
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
}
"""torchvision's networks and the files of their COCO weights."""
LABELS = tuple(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
    hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis,
    snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
    tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
    sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted
    plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone,
    microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
    hair drier, toothbrush
    """.replace("\n    ", " ")
    .strip()
    .split(", ")
)
"""What COCO's things are called."""
REACH_S = 3.0


def hub_file(name: str) -> Path:
    """Where a detector's file is, or belongs: $TORCH_HOME, else $XDG_CACHE_HOME/torch, else
    ~/.cache/torch, as torch itself has it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / DETECTORS[name]


def lacking(name: str) -> str:
    """What is missing and where it belongs, in one line."""
    file = hub_file(name)
    return (
        f"no weights of {name}: put {file.name} (from https://{SITE}/models/) into {file.parent}, "
        "or give --weights FILE, or --masks DIR"
    )


def within_reach(name: str) -> bool:
    """Whether the file is there, or the site it is fetched from answers."""
    import socket
    import urllib.request  # 30 ms, which reading a job can do without

    if hub_file(name).is_file() or urllib.request.getproxies().get("https"):
        return True  # whether a proxy lets it through is found out by fetching
    try:
        socket.create_connection((SITE, 443), REACH_S).close()
        return True
    except OSError:
        return False
