"""The commands predict and load: a model over images, or at hand as a function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ocuseg.commands.opening import Progress, open_bundle, tell_runtime
from ocuseg.errors import DataError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ocuseg.classes import Classes
    from ocuseg.commands.opening import Model
    from ocuseg.formats.outputs import Put
    from ocuseg.prediction import Predictor
    from ocuseg.prediction.results import FileOutcome

__all__ = ["load", "predict", "predict_each"]


def predict(
    model: Model,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    probabilities: bool | Literal["png", "npz"] = False,
    overlay: bool = False,
    threshold: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
    again: bool = False,
    formats: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[FileOutcome]:
    """Return what became of each image: its mask in `out`, at its own size, or the error that prevented it.

    `images` are files and folders. `areas.csv` has the pixels and shares of each class, as `areas` of an outcome;
    `measures.csv`, of a model that has such, what is measured and how an image differs from those that the model was
    made for, as `measures` and `flags`. With `probabilities` and `overlay` these are written too, and `formats` name
    what else the masks are written as (`ocuseg.formats.outputs.FORMATS`). What an earlier run has done is not done
    again, unless with `again`, and comes first. Raises UsageError where a path does not exist, OutputError where `out`
    cannot be written or holds what `predict` did not write.
    """
    return list(
        predict_each(
            model, images,
            out=out, probabilities=probabilities, overlay=overlay, threshold=threshold, runtime=runtime,
            precision=precision, flips=flips, again=again, formats=formats, progress=progress,
        )
    )  # fmt: skip


def predict_each(
    model: Model,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    probabilities: bool | Literal["png", "npz"] = False,
    overlay: bool = False,
    threshold: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
    again: bool = False,
    formats: Sequence[str] = (),
    progress: Progress | None = None,
) -> Iterator[FileOutcome]:
    """Return an iterator over the outcomes of `predict`, which does the work as it goes and holds none of them."""
    from ocuseg.index import find_images
    from ocuseg.prediction import open_predictor
    from ocuseg.prediction.plans import without_masks
    from ocuseg.prediction.results import predict_files

    if formats:
        from ocuseg.formats.outputs import require_formats

        require_formats(formats)
    given = [images] if isinstance(images, str | Path) else images
    for remote in (one for one in given if "://" in str(one)):
        raise UsageError(f"{remote}: is not on this machine; add --engine ray, or use predict_collection")
    paths = without_masks(find_images(given), Path(out))
    bundle = open_bundle(model)
    predictor = open_predictor(
        bundle, runtime, flips=flips, threshold=threshold, precision=precision, images=len(paths)
    )
    tell_runtime(predictor)
    outcomes = predict_files(
        predictor, paths, out, probabilities=probabilities, overlay=overlay, model=bundle.digest, again=again
    )
    with contextlib.closing(outcomes), _other_formats(formats, Path(out), bundle.classes) as put:
        for count, outcome in enumerate(outcomes, start=1):
            yield _also_as(outcome, put) if put is not None and outcome.error is None else outcome
            if progress is not None:
                progress(count, len(paths))


def _other_formats(names: Sequence[str], out: Path, classes: Classes) -> AbstractContextManager[Put | None]:
    """Return what writes masks in the named formats, which are imported only then: it takes a tenth of a second."""
    if not names:
        return contextlib.nullcontext()
    from ocuseg.formats.outputs import masks_also_as

    return masks_also_as(names, out, classes)


def _also_as(outcome: FileOutcome, put: Put) -> FileOutcome:
    """Write the mask of an image in other formats as well; where one cannot be written, that is the outcome's error."""
    from dataclasses import replace

    from ocuseg.images import read_mask

    mask = outcome.written[0]
    try:
        return replace(outcome, written=(*outcome.written, *put(mask.stem, outcome.image, read_mask(mask).values)))
    except DataError as error:
        return replace(outcome, error=error)


def load(model: Model, *, runtime: str = "auto", precision: str = "auto", flips: bool | None = None) -> Predictor:
    """Return the Predictor of a shipped model, a run or a bundle: a function from an image to a mask."""
    from ocuseg.prediction import open_predictor

    return open_predictor(open_bundle(model), runtime, flips=flips, precision=precision)
