"""The Predictor over many files: masks, probabilities and overlays on disk, one bad image never the end."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ocuseg.errors import DataError, ImageError, OutputError, UsageError
from ocuseg.files import hash_bytes, make_folder
from ocuseg.images import Facts, HeldImage, ImageRows, open_rows
from ocuseg.machine import package_version
from ocuseg.metrics import load_skeletons
from ocuseg.prediction.journal import Journal
from ocuseg.prediction.plans import Plan, Plans, require_predicted
from ocuseg.prediction.predictor import Predictor
from ocuseg.prediction.single import Result
from ocuseg.prediction.writing import Written, write_by_bands, write_result

__all__ = ["FileOutcome", "predict_files"]

# How many images may be decoded ahead of the network and half as many wait to be written; large ones go one by one,
# by bands of rows.
_AHEAD = 4
_LARGE_PX = 1 << 22
_SMALL_PX = 1 << 20
_LEFT_BEHIND_S = 3600


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one image: the files that were written, the mask first, or the error that prevented it.

    `areas` are its rows of `areas.csv`, as `Result.areas` gives them, `measures` and `flags` its row of `measures.csv`,
    as a `Result` has them; both may be empty, and `described` says whether there is such a row. `done_before` says that
    an earlier run had written these files, from the same image and settings. `facts` are what a DICOM or NIfTI file
    says of its picture, such as the side and the size of a pixel, where it was read now.
    """

    image: Path
    written: tuple[Path, ...]
    error: DataError | None = None
    areas: tuple[dict[str, Any], ...] = ()
    measures: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    done_before: bool = False
    facts: Facts | None = None
    described: bool = False


_Decoded = tuple[Plan, Future[ImageRows]]


def predict_files(
    predictor: Predictor,
    images: Sequence[Path | str],
    out_dir: Path | str,
    *,
    probabilities: bool | Literal["png", "npz"] = False,
    overlay: bool = False,
    model: str | None = None,
    again: bool = False,
) -> Generator[FileOutcome]:
    """Return an iterator that predicts `images` one after the other, writes the results and says what became of each.

    `out_dir` gets NAME.png, the mask of class ids with a visible palette; `overlays/NAME.png` with `overlay`; and with
    `probabilities`, for two classes `probabilities/NAME.png` of 16 bit, for more `probabilities/ID_CLASS/NAME.png`, or
    with "npz" one `probabilities/NAME.npz` (array `probabilities`, (C, H, W) float32). `areas.csv`, written at the end
    or when the iterator is closed, has the rows of `Result.areas` for each mask, `measures.csv` a row of measures and
    flags where the model has such. Files of an earlier run are replaced, as are its rows for the same NAME; the others
    stay. An image given twice is predicted once; names that would meet are told apart (`output_names`), and an image
    keeps the name that it had before.

    `model` is the digest of the bundle. With it, and unless `again`, images that an earlier run has predicted come
    first and are not predicted again: same model, settings and version, the image's path, size and time as they were,
    all files that are asked for there and untouched.

    Raises UsageError, before anything is written, where an image would be overwritten; OutputError where a mask or
    table would be lost that was not predicted, such as one drawn by hand, or where the results cannot be written;
    ModelError where the network fails. An image that cannot be read is an outcome with an error.
    """
    if probabilities not in (False, True, "png", "npz"):
        raise UsageError(f"probabilities are written as 'png' or 'npz', not as {probabilities!r}")
    kind: Literal["png", "npz"] | None = "npz" if probabilities == "npz" else "png" if probabilities else None
    journal = Journal(Path(out_dir))
    plans = Plans(images, Path(out_dir), predictor.classes, kind, overlay=overlay, known_as=journal.known_as)
    plans.require_apart()
    settings = None if model is None else _settings(predictor, model, kind, overlay)
    done, todo = list[int](), list[int]()
    for index in range(len(plans)):
        plan = plans[index]
        is_done = not again and journal.is_done(plan.name, _key(settings, plan), plan.outputs)
        (done if is_done else todo).append(index)
    require_predicted(
        plan.mask for plan in map(plans.__getitem__, todo) if not journal.has_written(plan.name, plan.mask)
    )
    if len(plans):
        folders = [output.parent for output in plans[0].outputs]
        for folder in dict.fromkeys(folders):
            _sweep(make_folder(folder))
    return _recorded(predictor, plans, journal, settings, done, todo)


def _sweep(folder: Path) -> None:
    """Delete what a run that was killed was just writing; not what another run may be writing now."""
    for path in folder.glob(".*.tmp.*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _LEFT_BEHIND_S:
                path.unlink()


def _settings(predictor: Predictor, model: str, kind: str | None, overlay: bool) -> str:
    """All that a result depends on but the image."""
    return json.dumps(
        [
            package_version("ocuseg"),
            model,
            getattr(predictor.network, "name", None),
            predictor.threshold,
            predictor.flips,
            predictor.tile_px,
            predictor.overlap_px,
            kind,
            overlay,
        ]
    )


def _key(settings: str | None, plan: Plan) -> str | None:
    """What stands for an image, as it is now, and how it is predicted; None where that is not known."""
    try:
        status = plan.image.stat()
    except OSError:
        return None
    image = f"{plan.image.resolve()} {status.st_size} {status.st_mtime_ns}"
    return None if settings is None else hash_bytes([settings, image])


def _recorded(
    predictor: Predictor, plans: Plans, journal: Journal, settings: str | None, done: list[int], todo: list[int]
) -> Generator[FileOutcome]:
    """The outcomes; what was written is in record and table however the iteration ends."""
    if not done and not todo:
        return
    with journal:
        for index in done:
            plan = plans[index]
            yield _done(plan, journal.written(plan.name), done_before=True)
        held = journal.hold(plans[index].name for index in todo)
        keys: dict[Path, str | None] = {}

        def upcoming() -> Iterator[Plan]:
            for plan in map(plans.__getitem__, todo):
                keys[plan.image] = _key(settings, plan)  # before it is read: a later change is noticed
                yield plan

        with contextlib.closing(_outcomes(predictor, upcoming())) as outcomes:  # no thread may write after the table
            for plan, written in outcomes:
                key = keys.pop(plan.image)
                if isinstance(written, DataError):
                    journal.restore(plan.name, held)
                    yield FileOutcome(plan.image, (), written)
                else:
                    journal.add(plan, key, written)
                    _remove_outdated(plan, journal.held_stamps(plan.name, held))
                    yield _done(plan, written)


def _remove_outdated(plan: Plan, stamps: list[list[int] | None]) -> None:
    """Delete what an earlier run drew of the mask that was just replaced and this one does not, untouched since."""
    if len(stamps) < 2:  # the mask alone
        return
    out, name = plan.mask.parent, plan.name
    there = [out / "overlays" / f"{name}.png", *(out / "probabilities" / f"{name}{kind}" for kind in (".png", ".npz"))]
    there += [folder / f"{name}.png" for folder in (out / "probabilities").glob("*/")]
    for path in set(there).difference(plan.outputs):
        with contextlib.suppress(OSError):
            status = path.stat()
            if [status.st_size, status.st_mtime_ns] in stamps:
                path.unlink()


def _done(plan: Plan, written: Written, *, done_before: bool = False) -> FileOutcome:
    measures, flags = written.description or ({}, ())
    return FileOutcome(
        plan.image, plan.outputs, areas=written.areas, measures=measures, flags=flags, done_before=done_before,
        facts=written.facts, described=written.description is not None,
    )  # fmt: skip


def _outcomes(predictor: Predictor, upcoming: Iterator[Plan]) -> Generator[tuple[Plan, Written | DataError]]:
    """Decode ahead of the network and write behind it; the network itself runs in the caller's thread."""
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ocuseg-files")
    if predictor.measures:
        pool.submit(load_skeletons)  # beside the decoding and the network, not when the first mask is measured
    decoded: deque[_Decoded] = deque()
    finished: deque[tuple[Plan, Future[Written]]] = deque()
    try:
        while True:
            _read_ahead(decoded, upcoming, 1, pool)
            if not decoded:
                break
            batch = _next_batch(decoded)
            is_large = _is_large(batch[0][1])  # a batch of several has small ones only
            ahead = 1 if is_large else _AHEAD
            _read_ahead(decoded, upcoming, ahead, pool)
            if is_large:
                plan, future = batch[0]
                finished.append((plan, _by_bands(predictor, plan, future.result(), pool)))
            else:
                finished += _predicted(predictor, batch, pool)
            while len(finished) > ahead // 2:
                yield _outcome(*finished.popleft())
        while finished:
            yield _outcome(*finished.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for _, future in decoded:
            if not future.cancelled() and not future.exception():
                future.result().close()


def _read_ahead(decoded: deque[_Decoded], upcoming: Iterator[Plan], ahead: int, pool: ThreadPoolExecutor) -> None:
    for plan in itertools.islice(upcoming, max(0, ahead - len(decoded))):
        decoded.append((plan, pool.submit(open_rows, plan.image, plan.mask.parent)))


def _next_batch(decoded: deque[_Decoded]) -> list[_Decoded]:
    batch = [decoded.popleft()]
    total = _pixels(batch[0][1])
    while decoded and (total := total + _pixels(decoded[0][1])) <= _SMALL_PX:
        batch.append(decoded.popleft())
    return batch


def _pixels(future: Future[ImageRows]) -> int:
    if future.exception():
        return 0
    height, width = future.result().size
    return height * width


def _is_large(future: Future[ImageRows]) -> bool:
    return _pixels(future) > _LARGE_PX


def _by_bands(predictor: Predictor, plan: Plan, image: ImageRows, pool: ThreadPoolExecutor) -> Future[Written]:
    """The rows of one large image that was predicted and written by bands, or the reason why there are none."""
    written: Future[Written] = Future()
    with contextlib.closing(image):
        try:
            written.set_result(write_by_bands(plan, image, predictor, pool))
        except (OutputError, MemoryError) as error:
            written.set_exception(error)
    return written


def _predicted(
    predictor: Predictor, batch: list[_Decoded], pool: ThreadPoolExecutor
) -> Iterator[tuple[Plan, Future[Written]]]:
    """Each plan with what is being written, or with the future that holds the reason why nothing is."""
    results: Iterator[Result] = iter(())
    failed: MemoryError | None = None
    try:
        images = [future.result() for _, future in batch if not future.exception()]
        results = iter(predictor([image.pixels for image in images if isinstance(image, HeldImage)]))
    except MemoryError as error:
        failed = error
    for plan, future in batch:
        written: Future[Written] = Future()
        reason = failed or future.exception()
        if reason:
            written.set_exception(reason)
        else:
            written = pool.submit(write_result, plan, next(results), getattr(future.result(), "facts", None))
        yield plan, written


def _outcome(plan: Plan, written: Future[Written]) -> tuple[Plan, Written | DataError]:
    try:
        return plan, written.result()
    except ImageError as error:
        return plan, error
    except MemoryError:
        too_large = ImageError(f"{plan.image}: needs more memory than there is; give a smaller image", kind="too large")
        return plan, too_large
