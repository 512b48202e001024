"""One worker and its chunks: fetch, predict, write the rows whole, and outlive an image that kills the process."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ocuseg.errors import ImageError, ModelError, OutputError
from ocuseg.files import hash_file, stem_of
from ocuseg.images import read_header
from ocuseg.machine import package_version
from ocuseg.prediction import open_predictor
from ocuseg.prediction.results import predict_files
from ocuseg.scale.collection import Chunk
from ocuseg.scale.fetching import FetchError, fetch
from ocuseg.scale.job import Job, unpack_bundle
from ocuseg.scale.rows import DONE, RowWriter, area_values
from ocuseg.scale.storage import Storage, reason_of

__all__ = ["ATTEMPTS", "ChunkResult", "ChunkWorker"]

ATTEMPTS = "attempts"
"""The folder of the output in which a chunk notes that it was begun, until its rows are written."""

# How often a chunk is begun as usual, and after that each image in it alone, before an image is given up.
_TRIES_OF_CHUNK = 2
_TRIES_OF_IMAGE = 2
# Images that are fetched while one is in the network.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """A chunk whose rows are written: its number, its images, and how often it had been begun in vain before."""

    number: int
    images: int
    lost: int


class ChunkWorker:
    """A function from a chunk to its rows in the output; it opens the model once, from bytes.

    A chunk that is in the output already is not done again. When it is begun, that is noted in the output; if its
    process has died twice at it, its images are noted one by one as well, and one at which the process then died twice
    more gets a row that says so. Raises ModelError where the model cannot be used here or `asked_by`, the version of
    ocuseg that wants it done, is not the one here; OutputError where the output cannot be written.
    """

    def __init__(
        self, job: Job, bundle: Mapping[str, bytes], out: str, *, threads: int, asked_by: str | None = None
    ) -> None:
        own = package_version("ocuseg")
        if asked_by not in (None, own):
            raise ModelError(f"a worker has ocuseg {own}, the command {asked_by}; install one version everywhere")
        self.job = job
        self._out = Storage(out)
        # A runtime has read the files once it is open.
        with tempfile.TemporaryDirectory(prefix="ocuseg-", ignore_cleanup_errors=True) as folder:
            self._predictor = open_predictor(
                unpack_bundle(dict(bundle), Path(folder)),
                job.runtime,
                flips=job.flips,
                threshold=job.threshold,
                threads=threads,
                precision=job.precision,
            )
        self._common = {
            "model": job.model,
            "model_digest": job.model_digest,
            "runtime": getattr(self._predictor.network, "name", None),
            "ocuseg_version": own,
        }

    def __call__(self, chunk: Chunk) -> ChunkResult:
        """Write the rows of a chunk and return what became of it."""
        marks = {name for name in self._out.names(ATTEMPTS) if name.startswith(f"{chunk.number:08d}-")}
        begun = sum("image" not in name for name in marks)
        if not self._out.has(chunk.rows_file):
            own = f"{chunk.number:08d}-{begun}"
            marks.add(own)
            self._out.write(f"{ATTEMPTS}/{own}", b"")
            with (
                self._out.written_whole(chunk.rows_file) as path,
                RowWriter(path, self._predictor.classes, self.job.masks, self._measured()) as writer,
            ):
                for row in self._rows(chunk) if begun < _TRIES_OF_CHUNK else self._careful_rows(chunk, marks):
                    writer.add(row | self._common)
        self._out.remove({f"{ATTEMPTS}/{name}" for name in marks})
        return ChunkResult(chunk.number, len(chunk.images), begun)

    def _rows(self, chunk: Chunk) -> Iterator[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="ocuseg-") as folder:
            for index, (image, fetched) in enumerate(_fetched_ahead(chunk.images, Path(folder))):
                yield self._row(chunk, index, image, fetched, Path(folder))

    def _careful_rows(self, chunk: Chunk, marks: set[str]) -> Iterator[dict[str, Any]]:
        """The same, one image after the other, each noted before anything of it is touched."""
        for index, image in enumerate(chunk.images):
            start = f"{chunk.number:08d}-image-{index:05d}-"
            died = sum(name.startswith(start) for name in marks)
            if died >= _TRIES_OF_IMAGE:
                yield _failed(
                    image,
                    "killed",
                    f"killed the process that worked on it {died} times, most likely for want of memory; "
                    "give workers more memory, or predict it alone on a larger machine",
                )
                continue
            mark = f"{start}{died}"
            self._out.write(f"{ATTEMPTS}/{mark}", b"")
            with tempfile.TemporaryDirectory(prefix="ocuseg-") as folder:
                fetched: Future[Path] = Future()
                try:
                    fetched.set_result(fetch(image, Path(folder)))
                except FetchError as error:
                    fetched.set_exception(error)
                row = self._row(chunk, index, image, fetched, Path(folder))
            self._out.remove({f"{ATTEMPTS}/{mark}"})
            yield row

    def _row(self, chunk: Chunk, index: int, image: str, fetched: Future[Path], folder: Path) -> dict[str, Any]:
        """The row of one image. Whatever is wrong with it is in the row: a million others wait."""
        row: dict[str, Any] = {"image": image, "status": DONE}
        local: Path | None = None
        results = folder / "results"
        try:
            local = fetched.result()
            row |= {"bytes": local.stat().st_size, "sha256": hash_file(local)}
            (outcome,) = predict_files(self._predictor, [local], results)
            if outcome.error is not None:
                raise outcome.error
            height, width = read_header(outcome.written[0]).size
            row |= {"height": height, "width": width, **area_values(outcome.areas, self._predictor.classes)}
            row |= {"flags": "; ".join(outcome.flags), **outcome.measures}
            return row | self._kept_mask(chunk, index, image, outcome.written[0])
        except FetchError as error:
            return row | _failed(image, error.status, str(error))
        except ImageError as error:
            return row | _failed(image, error.kind, _without_path(str(error), local))
        except OSError as error:
            return row | _failed(image, "unreadable", f"cannot be read ({reason_of(error)}); make it readable")
        except OutputError:  # the disc of this worker is at fault, and would be with the next image
            raise
        except Exception as error:
            return row | _failed(image, "failed", _without_path(f"{type(error).__name__}: {error}", local))
        finally:
            shutil.rmtree(results, ignore_errors=True)
            if local is not None and local.is_relative_to(folder):
                local.unlink(missing_ok=True)

    def _measured(self) -> tuple[str, ...] | None:
        """What the model measures, None where it also has no rule by which to flag."""
        describes = self._predictor.measures or self._predictor.made_for is not None
        return self._predictor.measures if describes else None

    def _kept_mask(self, chunk: Chunk, index: int, image: str, mask: Path) -> dict[str, Any]:
        if self.job.masks == "table":
            return {"mask": mask.read_bytes()}
        if self.job.masks == "files":
            name = f"masks/{chunk.number:08d}/{index:05d}_{stem_of(PurePosixPath(image))}.png"
            self._out.write(name, mask.read_bytes())
            return {"mask_file": name}
        return {}


def _fetched_ahead(images: Iterable[str], folder: Path) -> Iterator[tuple[str, Future[Path]]]:
    waiting: deque[tuple[str, Future[Path]]] = deque()
    pool = ThreadPoolExecutor(_AHEAD, thread_name_prefix="ocuseg-fetch")
    try:
        for image in images:
            waiting.append((image, pool.submit(fetch, image, folder)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _failed(image: str, status: str, error: str) -> dict[str, Any]:
    return {"image": image, "status": status, "error": error}


def _without_path(message: str, local: Path | None) -> str:
    """The message about a local copy without the copy's name, which means nothing to anybody later."""
    text = " ".join(message.split())
    return text if local is None else text.removeprefix(f"{local}: ").replace(str(local), local.name)
