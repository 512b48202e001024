"""What one pass over the files of a data set sees: sizes, values, hashes, thumbnails; on all cores, judging nothing."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.encoding.rawmask import Colour, Kind, RawMask, Value, count_values
from ocuseg.errors import ImageError
from ocuseg.files import hash_file
from ocuseg.images import ImageHeader, read_field_of_view, read_header, read_image, read_mask
from ocuseg.machine import usable_cores

__all__ = ["THUMBNAIL_PX", "Job", "MaskScan", "Role", "Scan", "scan_files"]

Role = Literal["image", "mask", "field_of_view", "second_mask"]
Progress = Callable[[int, int], None]

THUMBNAIL_PX = 32
_MOST_VALUES = 256  # a mask with more different values has no classes among them
_FEW_FILES, _FEW_BYTES = 64, 16_000_000  # below both, starting processes takes longer than reading
_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Job:
    """The files of one record."""

    image: Path
    mask: Path | None = None
    field_of_view: Path | None = None
    second_mask: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that there are."""
        return [path for path in (self.image, self.mask, self.field_of_view, self.second_mask) if path is not None]


@dataclass(frozen=True, slots=True)
class MaskScan:
    """The values of one mask: pixels per raw value, in all and inside the field of view.

    `colours` are those of the palette entries in use. Of more than 256 different values the commonest are kept, and
    `distinct` says how many there are. `levels` and `levels_inside` (L, 2) are each brightness and its pixels, all of
    them: a threshold divides them.
    """

    header: ImageHeader
    size: tuple[int, int]
    kind: Kind
    counts: dict[Value, int]
    inside: dict[Value, int]
    colours: dict[int, Colour]
    distinct: int
    levels: NDArray[np.int32]
    levels_inside: NDArray[np.int32]


@dataclass(slots=True)
class Scan:
    """What was seen in the files of one record; what could not be read is None and has a line in `problems`."""

    header: ImageHeader | None = None
    size: tuple[int, int] | None = None
    pixel_hash: str = ""
    thumbnail: NDArray[np.uint8] | None = None
    is_blank: bool = False
    mask: MaskScan | None = None
    second_mask: MaskScan | None = None
    field_of_view_size: tuple[int, int] | None = None
    field_of_view_pixels: int = 0
    problems: dict[Role, str] = field(default_factory=dict)
    file_hashes: dict[str, str] = field(default_factory=dict)


def scan_files(jobs: Sequence[Job], workers: int | None = None, progress: Progress | None = None) -> list[Scan]:
    """Return what is seen in the files of each job, in the order of the jobs.

    `workers` is the number of processes, all usable cores by default; small sets are read in this one.
    `progress` is called with the jobs done and all jobs.
    """
    scans: list[Scan | None] = [None] * len(jobs)
    count = _worker_count(jobs, workers)
    done = 0
    for position, scan in _in_processes(jobs, count) if count > 1 else ():
        scans[position] = scan
        done += 1
        if progress is not None:
            progress(done, len(jobs))
    # Processes cannot be started everywhere (a sandbox may forbid it) and may be killed; this one can always read.
    for position, job in enumerate(jobs):
        if scans[position] is None:
            scans[position] = scan_job(job)
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    return [scan for scan in scans if scan is not None]


def scan_job(job: Job) -> Scan:
    """Return what is seen in the files of one job; a file that cannot be read becomes a line in `problems`."""
    scan = Scan()
    for path in job.files:
        try:
            scan.file_hashes[str(path)] = hash_file(path)
        except OSError:
            scan.file_hashes[str(path)] = ""
    with _noted(scan, "image", job.image):
        _scan_image(scan, job.image)
    view: NDArray[np.bool_] | None = None
    if job.field_of_view is not None:
        with _noted(scan, "field_of_view", job.field_of_view):
            view = read_field_of_view(job.field_of_view)
            scan.field_of_view_size = view.shape[0], view.shape[1]
            scan.field_of_view_pixels = int(np.count_nonzero(view))
    if job.mask is not None:
        with _noted(scan, "mask", job.mask):
            scan.mask = _scan_mask(job.mask, view)
    if job.second_mask is not None:
        with _noted(scan, "second_mask", job.second_mask):
            scan.second_mask = _scan_mask(job.second_mask, view)
    return scan


class _noted:  # noqa: N801 - a context manager
    """Turn whatever a file raises into a line of the scan's problems."""

    def __init__(self, scan: Scan, role: Role, path: Path) -> None:
        self.scan, self.role, self.path = scan, role, path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Note the error, whatever a decoder made of a bad file; let an interruption pass."""
        if isinstance(error, ImageError):
            self.scan.problems[self.role] = str(error)
        elif isinstance(error, Exception):
            reason = " ".join(str(error).split()) or type(error).__name__
            self.scan.problems[self.role] = f"{self.path}: cannot be read ({reason}); replace the file"
        return isinstance(error, Exception)


def _scan_image(scan: Scan, path: Path) -> None:
    from PIL import Image

    header, image = read_header(path), read_image(path)
    scan.header, scan.size = header, (image.shape[0], image.shape[1])
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(image.data)
    scan.pixel_hash = digest.hexdigest()
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    scan.thumbnail = np.asarray(Image.fromarray(image).convert("L").resize(side, Image.Resampling.BOX))
    scan.is_blank = bool((image == image[0, 0]).all()) if int(np.ptp(scan.thumbnail)) <= 1 else False


def _scan_mask(path: Path, view: NDArray[np.bool_] | None) -> MaskScan:
    header, raw = read_header(path), read_mask(path)
    counts = count_values(raw)
    inside, levels = counts, _count_levels(raw, counts)
    levels_inside = levels
    if view is not None and view.shape == raw.size:
        part = RawMask(raw.values[view][np.newaxis], raw.kind, raw.palette)
        inside = count_values(part)
        levels_inside = _count_levels(part, inside)
    colours: dict[int, Colour] = {}
    if raw.palette is not None:
        for value in counts:
            if isinstance(value, int) and value < len(raw.palette):
                red, green, blue = raw.palette[value].tolist()
                colours[value] = (red, green, blue)
    return MaskScan(
        header, raw.size, raw.kind, _commonest(counts), _commonest(inside), colours, len(counts), levels, levels_inside
    )


def _count_levels(raw: RawMask, counts: dict[Value, int]) -> NDArray[np.int32]:
    """Return each brightness and its pixels (L, 2), from the pixels of each value: there are far fewer of these."""
    values = np.array(list(counts), dtype=raw.values.dtype).reshape(1, len(counts), *raw.values.shape[2:])
    levels, place = np.unique(RawMask(values, raw.kind, raw.palette).levels, return_inverse=True)
    pixels = np.bincount(place.ravel(), weights=list(counts.values()), minlength=len(levels))
    return np.stack([levels, pixels], axis=1).astype(np.int32)


def _commonest(counts: dict[Value, int]) -> dict[Value, int]:
    if len(counts) <= _MOST_VALUES:
        return counts
    kept = sorted(counts, key=lambda value: -counts[value])[:_MOST_VALUES]
    return {value: counts[value] for value in kept}


def _worker_count(jobs: Sequence[Job], workers: int | None) -> int:
    if workers is not None:
        return max(1, min(workers, len(jobs)))
    files = [path for job in jobs for path in job.files]
    if multiprocessing.current_process().daemon or len(jobs) < 2:
        return 1
    if len(files) < _FEW_FILES and sum(_bytes(path) for path in files) < _FEW_BYTES:
        return 1
    return min(usable_cores(), len(jobs))


def _in_processes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Scan]]:
    """Yield position and scan of each job as it is done; stop early where processes cannot be started."""
    size = max(1, min(_CHUNK, len(jobs) // (4 * workers)))
    context = multiprocessing.get_context("spawn")
    try:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)
    except (OSError, NotImplementedError):
        return
    try:
        with _main_left_out():
            futures = {pool.submit(_scan_chunk, jobs[k : k + size]): k for k in range(0, len(jobs), size)}
        for future in as_completed(futures):
            yield from enumerate(future.result(), futures[future])
    except (BrokenProcessPool, OSError):
        return
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _main_left_out() -> Iterator[None]:
    """Start processes that do not import the program that runs, as spawn would have them do.

    They need nothing from it. So a script without a main guard is not run again in each of them, and they start sooner.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _scan_chunk(jobs: Sequence[Job]) -> list[Scan]:
    return [scan_job(job) for job in jobs]


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of a terminal; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
