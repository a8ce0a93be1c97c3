"""From light to a photo: what lens, sensor and camera do after the scene was traced. numpy, opencv.

Light is linear; a picture is 8-bit sRGB.  The shape's mask goes through none of it: aberration and
blur stay below a pixel at the middle of a picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.photo_scene import SENSOR, Sensor, generator

Array = NDArray[np.float32]

KEY = 0.16
"""What the middle of a picture's brightness is exposed to, linear ..."""
USUAL = 0.5
"""... of light of this brightness; darker and brighter scenes keep some of it."""


def develop(light: Array, sensor: Sensor, seed: int, number: int) -> NDArray[np.uint8]:
    """The photo [H, W, 3] of linear light [H, W, 3]."""
    rng = generator(seed, number, SENSOR)
    light = _exposed(np.maximum(light, 0), sensor)
    light = _through_lens(light, sensor)
    light = _noisy(light, sensor, rng)
    return _encoded(light * _balance(sensor), sensor)


def _exposed(light: Array, sensor: Sensor) -> Array:
    """As a camera's automatic has it: by the mean of logarithms, then off by some stops."""
    grey = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    middle = float(np.exp(np.log(np.maximum(grey, 1e-3)).mean()))
    level = KEY / (middle**0.7 * USUAL**0.3)
    return np.asarray(light * np.float32(level * 2**sensor.exposure_ev))


def _through_lens(light: Array, sensor: Sensor) -> Array:
    """Colours of different size, darker corners, and a little blur."""
    height, width = light.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    planes = []
    for channel, grown in ((0, 1 + sensor.aberration), (1, 1.0), (2, 1 - sensor.aberration)):
        scaling = cv2.getRotationMatrix2D(middle, 0, grown)
        plane = np.ascontiguousarray(light[..., channel])
        plane = cv2.warpAffine(plane, scaling, (width, height), borderMode=cv2.BORDER_REPLICATE)
        planes.append(plane)
    image = np.dstack(planes)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (middle[0] ** 2 + middle[1] ** 2)
    image = image * (1 - sensor.vignette * radius**1.5)[..., None]
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sensor.blur_px), np.float32)


def _noisy(light: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Shot noise grows with the root of the light; read noise is everywhere; both smear a little,
    as demosaicing has it."""
    shot = np.sqrt(np.maximum(light, 0) / 0.5) * sensor.noise
    spread = np.sqrt(shot**2 + (0.25 * sensor.noise) ** 2)
    grain = rng.standard_normal(light.shape, np.float32)
    grain = 0.6 * grain + 0.4 * grain.mean(axis=2, keepdims=True) * np.float32(3**0.5)
    smeared = cv2.GaussianBlur(grain, (0, 0), 0.5)
    return np.asarray(light + smeared / smeared.std() * spread, np.float32)


def _balance(sensor: Sensor) -> Array:
    gains = np.array([1 + sensor.warmth, 1 - sensor.tint, 1 - sensor.warmth])
    return np.asarray(gains / gains.mean(), np.float32)


def _encoded(light: Array, sensor: Sensor) -> NDArray[np.uint8]:
    """A shoulder for what is bright, sRGB, a little contrast."""
    light = np.maximum(light, 0)
    bent = light * (1 + light / 9.0) / (1 + light)  # Reinhard's, white at 3
    bent = np.clip(bent * 1.55, 0, 1)
    srgb = np.where(bent <= 0.0031308, 12.92 * bent, 1.055 * bent ** (1 / 2.4) - 0.055)
    mixed = srgb + (sensor.contrast - 1) * 0.5 * (srgb - 0.5) * 4 * srgb * (1 - srgb)
    return np.asarray(np.rint(np.clip(mixed, 0, 1) * 255), np.uint8)
