"""Records become samples: decoded, cropped and scaled once, and kept from run to run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError
from ocuseg.files import hash_bytes, hash_file
from ocuseg.geometry import Preprocessing, place
from ocuseg.images import read_field_of_view, read_image, read_mask
from ocuseg.index import Record
from ocuseg.training.cache import ArrayCache
from ocuseg.training.widths import at_width

__all__ = ["Sample", "load_samples"]

_log = logging.getLogger("ocuseg")

_FORMAT = 1  # of what `_packed` makes
_DECODERS = ("numpy", "pillow", "scipy", "tifffile")
_SOURCES = (
    "encoding", "field_of_view.py", "geometry.py", "images", "lighting.py", "metrics/widths.py", "resampling.py",
    "training/samples.py", "training/widths.py",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One image at its working size: `image` (h, w, 3) uint8, `target` (h, w) uint8 ids, `counted` (h, w) bool.

    `counted` is the field of view less the ignored id; pixels outside it carry the target 0.
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[np.uint8]
    counted: NDArray[np.bool_]


def load_samples(
    records: Sequence[Record],
    encoding: MaskEncoding,
    preprocessing: Preprocessing,
    *,
    vessel_width_px: float | None = None,
    ignore_index: int | None = None,
    cache: ArrayCache | None = None,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Return the records decoded, cropped and scaled as prediction does it, in their order.

    With `vessel_width_px` each image has the scale at which the vessels of its reference are that wide.
    With a `cache`, what was decoded before is mapped from it, and the rest is decoded and added: the same pixels.
    `progress` is called with the records done and all records. Raises DataError for a record without a mask and
    ImageError for a file that cannot be read.
    """
    settings = {
        "program": _program(),
        "crop": preprocessing.crop,
        "size": preprocessing.size,
        "field_of_view_diameter_px": preprocessing.field_of_view_diameter_px,
        "even_light": preprocessing.even_light,
        "channel": preprocessing.channel,
        "vessel_width_px": vessel_width_px,
        "encoding": encoding.to_json(),
        "ignore_index": ignore_index,
    }

    def decode(record: Record) -> Sample:
        return _decoded(record, encoding, preprocessing, vessel_width_px, ignore_index)

    def load(record: Record, key: str | None) -> tuple[Sample, bool]:
        if cache is None or key is None:
            return decode(record), False
        kept = cache.get(key)
        if kept is not None:
            return _unpacked(record.name, kept), True
        sample = decode(record)
        if _key(record, settings) != key:  # a file was changed while it was read
            return sample, False
        return _unpacked(record.name, cache.put(key, _packed(sample))), False

    samples: list[Sample] = []
    known = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        keys: list[str | None] = [None] * len(records)
        if cache is not None:
            keys = list(pool.map(lambda record: _key(record, settings), records))
            cache.keep(key for key in keys if key is not None)
        for sample, was_known in pool.map(load, records, keys):
            samples.append(sample)
            known += was_known
            if progress is not None:
                progress(len(samples), len(records))
    if cache is not None:
        _log.info("%d of %d images were decoded before; what is decoded is in %s", known, len(records), cache.folder)
    return samples


def _decoded(
    record: Record,
    encoding: MaskEncoding,
    preprocessing: Preprocessing,
    vessel_width_px: float | None,
    ignore_index: int | None,
) -> Sample:
    if record.mask is None:
        raise DataError(f"{record.image}: has no mask; add one or leave the image out of the split")
    image = read_image(record.image)
    mask = encoding.decode(read_mask(record.mask), str(record.mask))
    if mask.shape != image.shape[:2]:
        raise DataError(f"{record.mask}: is {mask.shape}, the image {image.shape[:2]}; make them the same size")
    counted = np.ones(mask.shape, bool)
    if record.field_of_view is not None:
        counted = read_field_of_view(record.field_of_view)
    if ignore_index is not None:
        counted = counted & (mask != ignore_index)
    placement = place(image, at_width(preprocessing, image, mask, vessel_width_px, ignore_index))
    target = placement.apply_mask(mask)
    inside = placement.apply_mask(counted.astype(np.uint8)) > 0
    pixels = np.require(placement.apply_image(image), requirements=["C", "W"])  # a decoder's own are for reading alone
    return Sample(record.name, pixels, np.where(inside, target, 0).astype(np.uint8), inside)


def _key(record: Record, settings: Mapping[str, Any]) -> str | None:
    """Return what a sample is a function of, as one hash; None where a file cannot be read."""
    files = (record.image, record.mask, record.field_of_view)
    try:
        content = ["" if path is None else hash_file(path) for path in files]
    except OSError:
        return None
    return hash_bytes([json.dumps(settings, sort_keys=True), *content])


@lru_cache(maxsize=1)
def _program() -> list[str]:
    """Return what else decides a sample's pixels: packages, and our own code, which a new version may have changed."""
    package = Path(__file__).parents[1]
    files = [path for name in _SOURCES for path in sorted((package / name).rglob("*.py")) or [package / name]]
    return [str(_FORMAT), *map(version, _DECODERS), hash_bytes(path.read_bytes() for path in files)]


def _packed(sample: Sample) -> NDArray[np.uint8]:
    """Return a sample as (5, h, w): the image, whose pixels fill the first three planes, then target and counted."""
    height, width = sample.target.shape
    image = np.ascontiguousarray(sample.image).reshape(3, height, width)
    return np.concatenate([image, sample.target[np.newaxis], sample.counted[np.newaxis].view(np.uint8)])


def _unpacked(name: str, pixels: NDArray[np.uint8]) -> Sample:
    _, height, width = pixels.shape
    return Sample(name, pixels[:3].reshape(height, width, 3), pixels[3], pixels[4].view(np.bool_))
