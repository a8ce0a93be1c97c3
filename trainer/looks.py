"""How real cut-out pictures look to a small judge: what ranks stylizations as good and bad ones.

The judge is a logistic regression on a few dozen figures of colour, contrast and grain within the
outline.  It learns real pictures from plain renders, and is then asked about renders in their new
style.  It is a way to sort pictures for people, and no measure of an experiment: that is what the
fresh classifiers of trainer.realism are for.

n pictures, S pixels along a side, F figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 8
SIDE = 64
STEPS, PULL = 25, 1e-2


def figures(rgba: NDArray[np.uint8]) -> Array:
    """[F] of a picture uint8 [S, S, 4]: colours, contrasts and grain of what is inside of it."""
    pixels = cv2.resize(rgba, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    # Away from the outline, which no style may change.
    inside = cv2.erode((pixels[..., 3] > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if inside.sum() < 16:
        inside = pixels[..., 3] > 0.5
    if not inside.any():
        return np.zeros(6 + 2 * BINS + 6)
    colours = pixels[..., :3]
    grey = np.ascontiguousarray(colours @ np.array([0.299, 0.587, 0.114], np.float32))
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    grain = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    seen, light, steep = colours[inside], grey[inside], slope[inside]
    spread = seen.max(axis=1) - seen.min(axis=1)
    shares = [
        np.histogram(light, BINS, (0, 1))[0] / len(light),
        np.histogram(np.minimum(steep, 1.999), BINS, (0, 2))[0] / len(steep),
    ]
    tints = (seen - seen.mean(axis=1, keepdims=True)).std(axis=0)
    more = [spread.mean(), spread.std(), steep.mean(), np.abs(grain[inside]).mean(),
            grain[inside].std(), float(np.median(light))]  # fmt: skip
    found = [seen.mean(axis=0), tints, *shares, np.array(more)]
    return np.asarray(np.concatenate(found), np.float64)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What it learnt."""

    middle: Array
    """[F]"""
    scale: Array
    """[F]"""
    weights: Array
    """[F + 1], the last is the bias"""

    def realness(self, pictures: Iterable[NDArray[np.uint8]]) -> Array:
        """[n] the probability that each picture is real, to this judge."""
        x = np.stack([figures(picture) for picture in pictures])
        return np.asarray(_sigmoid(_extended((x - self.middle) / self.scale) @ self.weights))


def learn(real: Iterable[NDArray[np.uint8]], plain: Iterable[NDArray[np.uint8]]) -> Judge:
    """A judge of these pictures; both kinds weigh the same.

    Raises ValueError where one kind has no pictures.
    """
    kinds = [np.stack(found) for kind in (real, plain) if (found := [figures(p) for p in kind])]
    if len(kinds) < 2:
        raise ValueError("a judge wants pictures of both kinds")
    x, y = np.concatenate(kinds), np.repeat([1.0, 0.0], [len(kind) for kind in kinds])
    share = np.where(y > 0, 0.5 / len(kinds[0]), 0.5 / len(kinds[1]))
    middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    x = _extended((x - middle) / scale)
    weights = np.zeros(x.shape[1])
    pull = PULL * np.eye(x.shape[1])
    pull[-1, -1] = 0
    for _ in range(STEPS):  # Newton's: with the pull it has one minimum
        p = _sigmoid(x @ weights)
        gradient = x.T @ (share * (p - y)) + pull @ weights
        curvature = (x * (share * p * (1 - p))[:, None]).T @ x + pull + 1e-9 * np.eye(len(pull))
        weights = weights - np.linalg.solve(curvature, gradient)
    return Judge(middle=middle, scale=scale, weights=weights)


def change(parent: NDArray[np.uint8], styled: NDArray[np.uint8]) -> float:
    """Mean difference of colours inside of the outline, 0 to 1."""
    inside = parent[..., 3] > 127
    apart = np.abs(parent[..., :3].astype(float) - styled[..., :3])[inside]
    return float(apart.mean() / 255) if len(apart) else 0.0


def _extended(x: Array) -> Array:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))
