"""What was seen in an image as an answer: JSON with run-length masks and measures, or a PNG."""

from __future__ import annotations

import base64
import math
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from ocuseg.field_of_view import FieldOfView
from ocuseg.images import save_mask
from ocuseg.prediction.plans import SOFTWARE
from ocuseg.service.seeing import Seen

__all__ = ["VIEW_PX", "BatchAnswer", "Part", "Prediction", "Row", "mask_png", "prediction", "run_lengths"]

VIEW_PX = 4_000_000
"""Pictures for a page are made smaller by the least whole number that leaves them no more pixels than this."""

Part = Literal["masks", "mask_png", "probabilities", "preview"]
"""What a JSON answer may hold beside areas, measures and flags."""


class RunLengths(BaseModel):
    """A mask as COCO's uncompressed RLE: runs of 0 and 1 in turn, 0 first, down the columns from the left."""

    size: tuple[int, int] = Field(description="Height and width.")
    counts: list[int]


class ClassMask(BaseModel):
    """Where one class is."""

    class_id: int
    rle: RunLengths


class Area(BaseModel):
    """A row of `areas.csv`."""

    class_id: int
    name: str
    pixels: int
    share_of_image: float | None
    parent: str | None
    share_of_parent: float | None
    area_mm2: float | None = Field(default=None, description="Where a medical file states the size of its pixels.")
    laterality: Literal["R", "L", "B"] | None = Field(default=None, description="Where a medical file states the eye.")


class Probabilities(BaseModel):
    """The probabilities of a class as a grey PNG: k stands for k / 200 up to (k + 1) / 200."""

    class_id: int
    png: str = Field(description="Base64.")


class Prediction(BaseModel):
    """What a model sees in an image. What was not asked for is null."""

    model: str
    width: int
    height: int
    threshold: float | None = Field(description="Null where each pixel has its most probable class.")
    flags: list[str] = Field(description="How the picture differs from those that the model was made for.")
    notes: list[str] = Field(description="How the picture was taken out of a medical file: its first frame, ....")
    areas: list[Area]
    measures: dict[str, float | int | None] = Field(description="A row of `measures.csv`; empty if it has none.")
    masks: list[ClassMask] | None = Field(default=None, description="One of each class but the background.")
    mask_png: str | None = Field(default=None, description="The mask as `ocuseg predict` writes it, base64.")
    probabilities: list[Probabilities] | None = Field(
        default=None, description="Of class 1 of two, else of every class."
    )
    field_of_view: RunLengths | None = Field(default=None, description="Of pixels in which vessels are measured.")
    preview: str | None = Field(default=None, description="The picture as the model saw it, upright, JPEG in base64.")


class Row(BaseModel):
    """What became of one image of a batch."""

    index: int
    name: str = Field(description="The name of the file as it was sent.")
    status: int = Field(description="200, or the status that it would have had alone.")
    error: str | None
    prediction: Prediction | None


class BatchAnswer(BaseModel):
    """A row for each image of a batch, in their order."""

    images: list[Row]


def prediction(seen: Seen, parts: frozenset[Part]) -> Prediction:
    """Return the JSON answer for an image, with `parts` of what it may hold."""
    height, width = seen.mask.shape
    found = Prediction(
        model=seen.model.name,
        width=width,
        height=height,
        threshold=seen.threshold,
        flags=list(seen.description.flags) if seen.description else [],
        notes=list(seen.notes),
        areas=[Area(name=row["class"], **{key: row[key] for key in row if key in Area.model_fields})
               for row in seen.areas],
        measures=seen.description.measures if seen.description else {},
    )  # fmt: skip
    if "masks" in parts:
        ids = range(1, len(seen.model.predictor.classes))
        found.masks = [ClassMask(class_id=one, rle=run_lengths(seen.mask == one)) for one in ids]
    if "mask_png" in parts:
        found.mask_png = _base64(mask_png(seen))
    if seen.steps is not None:
        first = 1 if len(seen.steps) == 1 else 0
        pictures = [_base64(_view(channel, "PNG")) for channel in seen.steps]
        found.probabilities = [Probabilities(class_id=first + i, png=png) for i, png in enumerate(pictures)]
        if found.measures:
            found.field_of_view = run_lengths(_rows_of(seen.area))
    if "preview" in parts:
        found.preview = _base64(_view(seen.image, "JPEG"))
    return found


def mask_png(seen: Seen) -> bytes:
    """Return the mask as the file that `ocuseg predict` writes, to the last byte for an image of up to 2^22 pixels.

    Of a larger one `predict` writes the rows as they come: the pixels are the same, their compression is another one.
    """
    file = BytesIO()
    save_mask(file, seen.mask, seen.model.predictor.classes, software=SOFTWARE)
    return file.getvalue()


def run_lengths(inside: NDArray[np.bool_]) -> RunLengths:
    """Return the pixels (H, W) that are True as COCO's uncompressed RLE (cocodataset.org, `pycocotools.mask`)."""
    flat = inside.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return RunLengths.model_construct(size=inside.shape, counts=[0, *counts] if flat[0] else counts)


def _rows_of(area: FieldOfView) -> NDArray[np.bool_]:
    return area.rows(0, area.size[0])


def _view(pixels: NDArray[np.uint8], form: Literal["PNG", "JPEG"]) -> bytes:
    """A picture (H, W) or (H, W, 3) in a size that a page can show."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture = picture.reduce(max(1, math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / VIEW_PX))))
    options: dict[str, Any] = {"compress_level": 3} if form == "PNG" else {"quality": 90}
    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
