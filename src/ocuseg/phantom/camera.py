"""The camera of an operating microscope: focus, movement, exposure, colour, noise, sharpening and compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ocuseg.phantom.canvas import Canvas
from ocuseg.phantom.texture import Floats, photograph

__all__ = ["take_picture"]


def take_picture(canvas: Canvas) -> NDArray[np.uint8]:
    """Return the light of `canvas` as a video camera would have stored it: sharp or not, well exposed or not."""
    number = canvas.number
    light = _moved(canvas, _graded(canvas))
    blur = number(-0.003, 0.008) if canvas.chance(0.85) else number(0.008, 0.02)
    noise = number(0.5, 5) if canvas.chance(0.8) else number(5, 14)
    image = photograph(light, canvas.random, blur * canvas.unit_px, noise)
    if canvas.chance(0.4):
        image = _sharpened(image, number(0.3, 2), canvas.unit_px)
    return _compressed(image, int(canvas.random.integers(25, 96))) if canvas.chance(0.6) else image


def _moved(canvas: Canvas, light: Floats) -> Floats:
    """Return `light` (H, W, 3) smeared by a movement, with its two fields torn apart, or, most often, as it was."""
    from scipy import ndimage

    if canvas.chance(0.12):
        length = 1 + round(canvas.number(0.01, 0.05) * canvas.unit_px)
        light = ndimage.uniform_filter1d(light, length, axis=int(canvas.random.integers(2)))
    if canvas.chance(0.06):
        light = light.copy()
        shift = 1 + round(canvas.number(0, 0.015) * canvas.unit_px)
        light[1::2, shift:] = light[1::2, :-shift]
    return light


def _graded(canvas: Canvas) -> Floats:
    """Return the light (H, W, 3) with the exposure, contrast, saturation, white balance and black of some camera."""
    number = canvas.number
    gains = np.array(canvas.random.normal(1, 0.05, 3) * np.exp(canvas.random.normal(0.08, 0.22)), np.float32)
    light = np.clip(canvas.light * gains[:, None, None], 0, 4)
    if canvas.chance(0.6):
        bend = number(-0.7, 0.4)
        light = (1 - abs(bend)) * light + abs(bend) * (np.sqrt(light) if bend > 0 else np.square(light))
    grey = 0.3 * light[0] + 0.59 * light[1] + 0.11 * light[2]
    light -= grey
    light *= number(0.45, 1.6)
    light += grey
    if canvas.chance(0.4):  # bright places fade out softly rather than being cut off
        light = 1.15 * (1 - np.exp(-1.3 * np.maximum(light, 0)))
    black = number(0, 0.05) * canvas.random.uniform(0, 1, 3).astype(np.float32)
    return np.ascontiguousarray((light + black[:, None, None]).transpose(1, 2, 0), np.float32)


def _sharpened(image: NDArray[np.uint8], amount: float, unit_px: float) -> NDArray[np.uint8]:
    from PIL import Image, ImageFilter

    mask = ImageFilter.UnsharpMask(radius=max(0.008 * unit_px, 0.6), percent=round(100 * amount), threshold=0)
    return np.asarray(Image.fromarray(image).filter(mask))


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
