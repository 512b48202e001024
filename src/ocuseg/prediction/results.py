"""The Predictor over many files: masks, probabilities and overlays on disk, one bad image never the end."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import DataError, ImageError, OutputError, UsageError
from ocuseg.files import make_folder, written_whole
from ocuseg.images import read_image, write_image, write_mask, write_probability
from ocuseg.prediction.measures import AREAS_FILE, AreaTable
from ocuseg.prediction.predictor import Predictor, Result

__all__ = ["FileOutcome", "output_names", "predict_files"]

# How many images may be decoded ahead of the network and half as many wait to be written; large ones go one by one.
_AHEAD = 4
_LARGE_PX = 1 << 24
_SMALL_PX = 1 << 20

_SOFTWARE = "ocuseg predict"
"""What a predicted mask says of its origin, by which a later run knows that it may replace it."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one image: the files that were written, the mask first, or the error that prevented it.

    `areas` are its rows of `areas.csv`, as `Result.areas` gives them.
    """

    image: Path
    written: tuple[Path, ...]
    error: DataError | None = None
    areas: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    image: Path
    mask: Path
    probabilities: tuple[Path, ...]
    overlay: Path | None

    @property
    def name(self) -> str:
        """The name of the image among the results."""
        return self.mask.stem

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (self.mask, *self.probabilities, *((self.overlay,) if self.overlay else ()))


_Decoded = tuple[_Plan, Future[NDArray[np.uint8]]]


def predict_files(
    predictor: Predictor,
    images: Sequence[Path | str],
    out_dir: Path | str,
    *,
    probabilities: bool | Literal["png", "npz"] = False,
    overlay: bool = False,
) -> Iterator[FileOutcome]:
    """Return an iterator that predicts `images` one after the other, writes the results and says what became of each.

    `out_dir` gets NAME.png, the mask of class ids with a visible palette; `overlays/NAME.png` with `overlay`; and with
    `probabilities`, for two classes `probabilities/NAME.png` of 16 bit, for more `probabilities/ID_CLASS/NAME.png`, or
    with "npz" one `probabilities/NAME.npz` (array `probabilities`, (C, H, W) float32). `areas.csv`, written at the end
    or when the iterator is closed, has the rows of `Result.areas` for each mask. Files of an earlier run are replaced,
    as are its rows for the same NAME; the others stay. An image given twice is predicted once; names that would meet
    are told apart (`output_names`).

    Raises UsageError, before anything is written, where an image would be overwritten; OutputError where a mask or
    table would be lost that was not predicted, such as one drawn by hand, or where the results cannot be written;
    ModelError where the network fails. An image that cannot be read is an outcome with an error.
    """
    if probabilities not in (False, True, "png", "npz"):
        raise UsageError(f"probabilities are written as 'png' or 'npz', not as {probabilities!r}")
    paths = list({Path(image).resolve(): Path(image) for image in images}.values())
    kind = "png" if probabilities is True else probabilities
    plans = [
        _plan(path, name, Path(out_dir), predictor.classes, kind, overlay)
        for path, name in zip(paths, output_names(paths), strict=True)
    ]
    _require_apart(plans)
    _require_predicted(plans)
    table = AreaTable(Path(out_dir) / AREAS_FILE)
    for folder in dict.fromkeys(output.parent for plan in plans for output in plan.outputs):
        make_folder(folder)
    return _tabled(_outcomes(predictor, plans), plans, table)


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each of the different `paths`, no two equal even where case is ignored.

    It is the stem. Where stems meet, the folders above are put before it (`a/1.png`, `b/1.png`: `a_1`, `b_1`), or the
    kind of file after it (`1.png`, `1.jpg`: `1_png`, `1_jpg`), or both; at the last, a number.
    """
    alike: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        alike.setdefault(path.stem.casefold(), []).append(index)
    names = [path.stem for path in paths]
    for group in alike.values():
        if len(group) > 1:
            for index, name in zip(group, _told_apart([paths[index].resolve() for index in group]), strict=True):
                names[index] = name
    taken: set[str] = set()
    for index, name in enumerate(names):
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names[index] = next(one for one in itertools.chain([name], numbered) if one.casefold() not in taken)
        taken.add(names[index].casefold())
    return names


def _told_apart(paths: list[Path]) -> list[str]:
    folders = [path.parent.parts[1:] for path in paths]
    depths = range(1, max(map(len, folders)) + 1)
    for depth, with_suffix in [*((depth, False) for depth in depths), *((depth, True) for depth in (0, *depths))]:
        names = [
            "_".join([*above[len(above) - min(depth, len(above)) :], path.stem, *([path.suffix[1:]] * with_suffix)])
            for above, path in zip(folders, paths, strict=True)
        ]
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [path.stem for path in paths]


def _plan(image: Path, name: str, out_dir: Path, classes: Classes, kind: str | bool, overlay: bool) -> _Plan:
    folder = out_dir / "probabilities"
    levels: tuple[Path, ...] = ()
    if kind == "npz":
        levels = (folder / f"{name}.npz",)
    elif kind == "png" and len(classes) == 2:
        levels = (folder / f"{name}.png",)
    elif kind == "png":
        levels = tuple(
            folder / f"{item.id}_{re.sub(r'[^A-Za-z0-9-]+', '_', item.name).strip('_')}" / f"{name}.png"
            for item in classes.items
        )
    return _Plan(image, out_dir / f"{name}.png", levels, out_dir / "overlays" / f"{name}.png" if overlay else None)


def _require_apart(plans: list[_Plan]) -> None:
    """No output may be the same file as an input, by whatever name the file system knows it."""
    inputs = {identity: plan.image for plan in plans if (identity := _identity(plan.image))}
    for plan in plans:
        for output in plan.outputs:
            identity = _identity(output)
            if identity in inputs:
                raise UsageError(
                    f"{output}: would be written over the image {inputs[identity]}; give another output folder"
                )


def _require_predicted(plans: list[_Plan]) -> None:
    """No mask may be replaced but an earlier prediction: one that was drawn or corrected by hand is hours of work."""
    from PIL import Image

    for path in (plan.mask for plan in plans if plan.mask.is_file()):
        try:
            with Image.open(path) as picture:
                software = picture.info.get("Software")
        except (OSError, ValueError):
            software = None
        if software != _SOFTWARE:
            raise OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _tabled(outcomes: Generator[FileOutcome], plans: list[_Plan], table: AreaTable) -> Iterator[FileOutcome]:
    """The same outcomes; the areas of those that were written are in the table however the iteration ends."""
    names = {plan.image: plan.name for plan in plans}
    table.hold(names.values())
    try:
        with contextlib.closing(outcomes):  # no thread may write a mask after the table
            for outcome in outcomes:
                table.put(names[outcome.image], outcome.areas)
                yield outcome
    finally:
        table.write()


def _outcomes(predictor: Predictor, plans: list[_Plan]) -> Generator[FileOutcome]:
    """Decode ahead of the network and write behind it; the network itself runs in the caller's thread."""
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ocuseg-files")
    upcoming = iter(plans)
    decoded: deque[_Decoded] = deque()
    finished: deque[tuple[_Plan, Future[Any]]] = deque()
    try:
        while True:
            _read_ahead(decoded, upcoming, 1, pool)
            if not decoded:
                break
            batch = _next_batch(decoded)
            ahead = _AHEAD if all(_pixels(future) <= _LARGE_PX for _, future in batch) else 1
            _read_ahead(decoded, upcoming, ahead, pool)
            for plan, result in _predicted(predictor, batch):
                finished.append((plan, pool.submit(_write, plan, result) if isinstance(result, Result) else result))
            while len(finished) > ahead // 2:
                yield _outcome(*finished.popleft())
        while finished:
            yield _outcome(*finished.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_ahead(decoded: deque[_Decoded], upcoming: Iterator[_Plan], ahead: int, pool: ThreadPoolExecutor) -> None:
    for plan in itertools.islice(upcoming, max(0, ahead - len(decoded))):
        decoded.append((plan, pool.submit(read_image, plan.image)))


def _next_batch(decoded: deque[_Decoded]) -> list[_Decoded]:
    batch = [decoded.popleft()]
    total = _pixels(batch[0][1])
    while decoded and (total := total + _pixels(decoded[0][1])) <= _SMALL_PX:
        batch.append(decoded.popleft())
    return batch


def _pixels(future: Future[NDArray[np.uint8]]) -> int:
    return 0 if future.exception() else future.result().shape[0] * future.result().shape[1]


def _predicted(predictor: Predictor, batch: list[_Decoded]) -> Iterator[tuple[_Plan, Result | Future[Any]]]:
    """Each plan with its result, or with the future that holds the reason why it has none."""
    try:
        results = iter(predictor([future.result() for _, future in batch if not future.exception()]))
    except MemoryError as error:
        for plan, _ in batch:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            yield plan, failed
        return
    for plan, future in batch:
        yield plan, future if future.exception() else next(results)


def _write(plan: _Plan, result: Result) -> FileOutcome:
    write_mask(plan.mask, result.mask, result.classes, software=_SOFTWARE)
    for path, channel in zip(plan.probabilities, result.probabilities, strict=False):
        if path.suffix == ".png":
            write_probability(path, channel)
        else:
            with written_whole(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, probabilities=result.probabilities)
    if plan.overlay:
        write_image(plan.overlay, result.overlay())
    return FileOutcome(plan.image, plan.outputs, areas=tuple(result.areas(plan.name)))


def _outcome(plan: _Plan, future: Future[FileOutcome]) -> FileOutcome:
    try:
        return future.result()
    except ImageError as error:
        return FileOutcome(plan.image, (), error)
    except MemoryError:
        too_large = ImageError(f"{plan.image}: needs more memory than there is; give a smaller image")
        return FileOutcome(plan.image, (), too_large)
