"""What was predicted for one image, written to its files: from a result, or by bands of rows."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ocuseg.drawing import overlay_bands
from ocuseg.errors import OutputError
from ocuseg.files import written_whole
from ocuseg.images import (
    Facts,
    ImageRows,
    image_rows,
    mask_rows,
    probability_rows,
    write_image,
    write_mask,
    write_probability,
)
from ocuseg.metrics import class_areas, rows_of_areas
from ocuseg.prediction.banding import probability_bands
from ocuseg.prediction.plans import SOFTWARE, Plan
from ocuseg.prediction.predictor import Predictor
from ocuseg.prediction.single import Description, Result, decide, describe
from ocuseg.suitability import count_foreground

__all__ = ["Written", "with_facts", "write_by_bands", "write_result"]

PutBand = Callable[[int, NDArray[np.float32]], None]

_COPIED_BYTES = 1 << 20


class Written(NamedTuple):
    """What the tables say of an image: its rows of `areas.csv`, and its row of `measures.csv` if it has one.

    `facts` are what a medical file says of the picture, where it was read in this run.
    """

    areas: tuple[dict[str, Any], ...]
    description: Description | None
    facts: Facts | None = None


def write_result(plan: Plan, result: Result, facts: Facts | None = None) -> Written:
    """Write a result to the files of its plan and return its rows of the tables. Raises OutputError.

    `facts` are what a medical file says of the picture.
    """
    write_mask(plan.mask, result.mask, result.classes, software=SOFTWARE)
    for path, channel in zip(plan.probabilities, result.probabilities, strict=False):
        if path.suffix == ".png":
            write_probability(path, channel)
        else:
            with written_whole(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, probabilities=result.probabilities)
    if plan.overlay:
        write_image(plan.overlay, result.overlay())
    description = describe(
        result.image_rows, result.mask_rows, result.mask.shape, count_foreground(result.probabilities),
        measured=result.measured, made_for=result.made_for, area=result.area,
    )  # fmt: skip
    return Written(with_facts(result.areas(plan.name), facts), description, facts)


def write_by_bands(plan: Plan, image: ImageRows, predictor: Predictor, writer: Executor) -> Written:
    """Predict an image by bands of rows, write the files of its plan and return its rows of the tables.

    Pixels and rows are those of `write_result`. A thread of `writer` writes one band while the network sees the next.
    The overlay, whose legend goes where the mask is empty, is drawn from the finished mask, which lies in a file
    without a name meanwhile; the measures are taken from it. Raises OutputError where a file cannot be written.
    """
    classes = predictor.classes
    areas, levels = np.zeros(len(classes), np.int64), np.zeros(3, np.int64)
    with contextlib.ExitStack() as files:
        put_mask = files.enter_context(mask_rows(plan.mask, image.size, classes, software=SOFTWARE))
        put_probabilities = files.enter_context(_probability_files(plan, image.size, classes.out_channels))
        kept = files.enter_context(_scratch(plan.mask.parent)) if plan.overlay or predictor.measures else None

        def write(top: int, band: NDArray[np.float32]) -> None:
            nonlocal areas, levels
            mask = decide(band, predictor.threshold)
            put_mask(mask)
            areas += class_areas(mask, len(classes))
            levels += count_foreground(band)
            put_probabilities(top, band)
            if kept is not None:
                kept.write(mask.data)

        writing: Future[None] | None = None
        bands, area = probability_bands(predictor, image)
        try:
            for top, band in bands:
                if writing is not None:
                    writing.result()
                writing = writer.submit(write, top, band)
            if writing is not None:
                writing.result()
        finally:
            if writing is not None:
                writing.exception()  # no band may be under way when the files are closed

        def read_mask(top: int, bottom: int) -> NDArray[np.uint8]:
            assert kept is not None
            mask = np.empty((bottom - top, image.size[1]), np.uint8)
            kept.seek(top * image.size[1])
            kept.readinto(mask.data)  # type: ignore[attr-defined]
            return mask

        if plan.overlay:
            with image_rows(plan.overlay, image.size) as put:
                for drawn in overlay_bands(image.rows, read_mask, image.size, classes):
                    put(drawn)
        description = describe(
            image.rows, read_mask, image.size, levels,
            measured=predictor.measures, made_for=predictor.made_for, area=area,
        )  # fmt: skip
    facts = getattr(image, "facts", None)
    rows = rows_of_areas(plan.name, areas, image.size[0] * image.size[1], classes)
    return Written(with_facts(rows, facts), description, facts)


def with_facts(rows: list[dict[str, Any]], facts: Facts | None) -> tuple[dict[str, Any], ...]:
    """Return rows of areas with `MEDICAL_COLUMNS`, which only a medical file can fill, where it does.

    `area_mm2` are square millimetres, by the pixel spacing of the file; `laterality` is R, L or B.
    """
    if facts is None:
        return tuple(rows)
    for row in rows:
        if facts.pixel_mm2 is not None:
            row["area_mm2"] = round(row["pixels"] * facts.pixel_mm2, 9)
        if facts.laterality is not None:
            row["laterality"] = facts.laterality
    return tuple(rows)


@contextlib.contextmanager
def _probability_files(plan: Plan, size: tuple[int, int], channels: int) -> Iterator[PutBand]:
    """Yield a function that writes the rows from the given one on of all channels (C, n, W)."""
    with contextlib.ExitStack() as files:
        if plan.probabilities and plan.probabilities[0].suffix == ".npz":
            yield files.enter_context(_npz_rows(plan.probabilities[0], size, channels))
            return
        put_rows = [files.enter_context(probability_rows(path, size)) for path in plan.probabilities]

        def put(_: int, band: NDArray[np.float32]) -> None:
            for put_channel, rows in zip(put_rows, band, strict=False):
                put_channel(rows)

        yield put


@contextlib.contextmanager
def _npz_rows(path: Path, size: tuple[int, int], channels: int) -> Iterator[PutBand]:
    """Yield the same for an NPZ file; as its channels lie one after the other, a file keeps them until the end."""
    height, width = size
    with _scratch(path.parent) as kept:

        def put(top: int, band: NDArray[np.float32]) -> None:
            for channel, rows in enumerate(band):
                kept.seek((channel * height + top) * width * rows.itemsize)
                kept.write(np.ascontiguousarray(rows).data)

        yield put
        kept.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (channels, height, width)}
        with (
            written_whole(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("probabilities.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            shutil.copyfileobj(kept, file, _COPIED_BYTES)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[BinaryIO]:
    try:
        file = cast("BinaryIO", tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed below
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{folder}: cannot be written ({reason}); give another output folder") from error
    with file:
        yield file
