"""An image and its masks to small pictures that lie on each other: one for the image, a transparent one for each mask.

A mask is drawn as `draw_overlay` does it, a light fill and a firm contour, at the image's own size, and then reduced by
area, so that a vessel one pixel wide stays visible, as a fainter line.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.drawing import COMPARISON_COLOURS, contours

__all__ = [
    "DIFFERENCE_COLOURS",
    "MOST_BYTES",
    "MOST_SHOWN",
    "MOST_WORKERS",
    "Layer",
    "Painting",
    "class_layer",
    "data_uri",
    "difference_layer",
    "painted",
]

Colour = tuple[int, int, int]

MOST_SHOWN = 100
"""How many images a page shows; of more the worst."""

MOST_BYTES = 130_000
"""What the pictures of one image may take as text: a page of 100 images stays under 15 MB."""

MOST_WORKERS = 4
"""More threads than this only hold more images at once."""

DIFFERENCE_COLOURS: dict[str, Colour] = {**COMPARISON_COLOURS, "other class": (220, 38, 150), "not scored": (0, 0, 0)}
"""RGB of what a layer of differences shows, in the order of its labels."""

_SIDES_PX = (720, 600, 480, 380, 300, 220, 150, 100)
_FILL = 0.4
_LIGHT_FILL = 0.25
_WRONG_FILL = 0.75
_UNSCORED_FILL = 0.7
_LEVELS_OF_ALPHA = 8
_QUALITY = 82


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What is drawn of a mask: `labels` (H, W) uint8, 0 for nothing, and the colour and fill of each label from 1 on.

    A `fill` is the weight of the colour from 0 to 1; contours have 1, unless a label is one of `plain`.
    """

    labels: NDArray[np.uint8]
    colours: tuple[Colour, ...]
    fills: tuple[float, ...]
    plain: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Painting:
    """The data URIs of pictures of one `size` (height, width) that lie on each other, by name."""

    size: tuple[int, int]
    pictures: dict[str, str]


def class_layer(mask: NDArray[np.uint8], classes: Classes, region: NDArray[np.bool_] | None = None) -> Layer:
    """Return a mask (H, W) in the colours of its classes, inside the `region`; the background is not drawn."""
    inside = mask < len(classes)
    labels = np.where(inside if region is None else inside & region, mask, 0).astype(np.uint8)
    colours = tuple((int(red), int(green), int(blue)) for red, green, blue in classes.colours[1:])
    return Layer(labels, colours, (_FILL,) * len(colours))


def difference_layer(
    reference: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    region: NDArray[np.bool_] | None = None,
    colours: Mapping[str, Colour] = DIFFERENCE_COLOURS,
) -> Layer:
    """Return where two masks (H, W) agree and differ in the foreground, in the order of `colours`.

    These stand for what is agreed, missed (only in the reference), extra (only in the mask), of another class, and not
    scored.
    """
    labels = np.zeros(mask.shape, np.uint8)
    labels[(reference > 0) & (mask == reference)] = 1
    labels[(reference > 0) & (mask == 0)] = 2
    labels[(reference == 0) & (mask > 0)] = 3
    labels[(reference > 0) & (mask > 0) & (mask != reference)] = 4
    if region is not None:
        labels[~region] = 5
    fills = (_LIGHT_FILL, _WRONG_FILL, _WRONG_FILL, _WRONG_FILL, _UNSCORED_FILL)
    return Layer(labels, tuple(colours.values()), fills, plain=(5,))


def painted(base: Mapping[str, NDArray[np.uint8]], layers: Mapping[str, Layer], most_bytes: int) -> Painting:
    """Return images (H, W, 3) and layers as data URIs, in the largest of a few sizes that takes `most_bytes` or less.

    What counts is the text. All are of one size (H, W). Images become WebP (JPEG where Pillow lacks it), layers PNG.
    The smallest size is taken whatever it needs, and the largest is no larger than the image.
    """
    arrays = [*base.values(), *(layer.labels for layer in layers.values())]
    height, width = arrays[0].shape[:2]
    for size in dict.fromkeys(_reduced(height, width, side) for side in _SIDES_PX):
        pictures = {name: _photograph(image, size) for name, image in base.items()}
        pictures |= {name: _drawing(layer, size) for name, layer in layers.items()}
        if sum(map(len, pictures.values())) <= most_bytes:
            break
    return Painting(size, pictures)


def _reduced(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def data_uri(data: bytes, kind: str) -> str:
    """Return the bytes of a file of a media type as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _photograph(image: NDArray[np.uint8], size: tuple[int, int]) -> str:
    from PIL import Image, features

    picture = Image.fromarray(image)
    if (picture.height, picture.width) != size:
        picture = picture.resize(size[::-1], Image.Resampling.BOX)
    buffer = io.BytesIO()
    kind = "webp" if features.check("webp") else "jpeg"
    picture.save(buffer, kind, quality=_QUALITY)
    return data_uri(buffer.getvalue(), f"image/{kind}")


def _drawing(layer: Layer, size: tuple[int, int]) -> str:
    """A picture with a palette: some levels of opacity for each colour, and 0 for nothing."""
    from PIL import Image

    present = [label for label in np.unique(layer.labels).tolist() if label]
    levels = max(1, min(_LEVELS_OF_ALPHA, 255 // max(1, len(present))))
    indices, palette, alpha = _mixed(layer, present, size, levels), [0, 0, 0], [0]
    for label in present:
        for level in range(1, levels + 1):
            palette += layer.colours[label - 1]
            alpha.append(round(255 * level / levels))
    picture = Image.fromarray(indices)
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=bytes(alpha), optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def _mixed(layer: Layer, present: Sequence[int], size: tuple[int, int], levels: int) -> NDArray[np.uint8]:
    """The palette index (h, w) of each reduced pixel: the label that covers most of it, as strong as all together."""
    from PIL import Image

    if not present:
        return np.zeros(size, np.uint8)
    scale = max(layer.labels.shape) / max(size)
    edges = contours(layer.labels, max(1, round(scale)))
    cover = np.empty((len(present), *size), np.uint8)
    for position, label in enumerate(present):
        weight = np.uint8(round(255 * layer.fills[label - 1]))
        own = layer.labels == label
        strength: NDArray[Any] = np.where(own, weight, np.uint8(0))
        if label not in layer.plain:
            strength[own & edges] = 255
        cover[position] = np.asarray(Image.fromarray(strength).resize(size[::-1], Image.Resampling.BOX))
    total = np.minimum(cover.sum(axis=0, dtype=np.uint32), 255)
    level = np.rint(total * (levels / 255)).astype(np.int64)
    mixed = np.where(level > 0, cover.argmax(axis=0) * levels + level, 0)
    return mixed.astype(np.uint8)
