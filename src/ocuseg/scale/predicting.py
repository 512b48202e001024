"""The prediction of a whole collection: list, divide, do what is not done yet, count what there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from ocuseg.bundle import Bundle
from ocuseg.errors import OutputError, UsageError
from ocuseg.machine import is_installed
from ocuseg.prediction import open_predictor
from ocuseg.scale.chunks import ATTEMPTS
from ocuseg.scale.cluster import run_chunks
from ocuseg.scale.collection import Chunk, list_images, plan_chunks
from ocuseg.scale.job import Job, Masks, begin_job, pack_bundle
from ocuseg.scale.rows import DONE
from ocuseg.scale.storage import Storage

__all__ = ["Summary", "predict_collection"]

_ROWS = "rows"

_log = logging.getLogger("ocuseg")


@dataclass(frozen=True, slots=True)
class Summary:
    """What an output holds: `images` rows in `rows`, `earlier` of them from earlier runs, counted by their status."""

    rows: str
    images: int
    earlier: int
    statuses: dict[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        before = f"; {self.earlier} of them were done before" if self.earlier else ""
        return f"{self.rows}: {self.images} images: {counts}{before}"

    @property
    def failed(self) -> int:
        """How many images have no mask."""
        return self.images - self.statuses.get(DONE, 0)


def predict_collection(
    bundle: Bundle,
    images: Iterable[str],
    out: str,
    *,
    address: str | None = None,
    masks: Masks = "table",
    chunk_images: int = 100,
    worker_cpus: int = 1,
    threshold: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
    retry_failed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Return the count of an output that has a row for each image, after predicting on Ray those that it lacked.

    `images` are paths and URIs as for `list_images`; `out` is a folder or prefix that all workers can write to. It gets
    `rows/NUMBER.parquet`, a row for each of `chunk_images` images, with the mask as PNG (`masks` "table"), the name of
    the mask's file in `masks/` ("files"), or the areas alone ("none"). An image that cannot be predicted is a row that
    says why. What a chunk's file holds is not done again; `retry_failed` does chunks anew that hold failures.

    Raises UsageError where an argument or source is wrong or Ray does not answer; OutputError where `out` is that of
    another model or of other settings, cannot be written, or is not the same folder for the workers as for this
    process; ModelError where a worker cannot use the model.
    """
    for package in ("fsspec", "pyarrow", "ray"):
        if not is_installed(package):
            raise UsageError(f"{package} is not installed; run: pip install 'ocuseg[ray]'")
    if masks not in get_args(Masks):
        raise UsageError(f"masks go to {', '.join(get_args(Masks))}, not to {masks!r}")
    if chunk_images < 1 or worker_cpus < 1:
        raise UsageError("a chunk has at least 1 image and a worker at least 1 CPU; give larger numbers")
    # Opened here as well, so that what is wrong with it is said before a cluster is started.
    predictor = open_predictor(bundle, runtime, flips=flips, threshold=threshold, threads=1, precision=precision)
    job = Job(bundle.info.name, bundle.digest, predictor.threshold, predictor.flips, runtime, precision, masks)
    storage = Storage(out)
    listed = list_images(images, storage.uri)
    begin_job(storage, job)
    chunks = plan_chunks(storage, listed, chunk_images)
    if retry_failed:
        _remove_failed(storage)
    missing = _missing(storage, chunks)
    total = sum(len(chunk.images) for chunk in chunks)
    earlier = done = total - sum(len(chunk.images) for chunk in missing)
    if missing:
        # What an earlier run noted says nothing about this one: it may have been stopped by hand.
        storage.remove({f"{ATTEMPTS}/{name}" for name in storage.names(ATTEMPTS)})
        again = 0
        for result in run_chunks(
            job, pack_bundle(bundle), storage.uri, missing, address=address, worker_cpus=worker_cpus
        ):
            done += result.images
            again += result.lost > 0
            if progress is not None:
                progress(done, total)
        if again:
            _log.info("%d chunk%s had to be begun again after a worker was lost", again, "" if again == 1 else "s")
    lost = _missing(storage, chunks)
    if lost:
        raise OutputError(
            f"{storage.uri}: the workers wrote {lost[0].rows_file} elsewhere; give a folder that all machines share, "
            "or object storage"
        )
    return Summary(storage.shown(_ROWS), total, earlier, _statuses(storage, total))


def _missing(storage: Storage, chunks: Sequence[Chunk]) -> list[Chunk]:
    there = storage.names(_ROWS)
    return [chunk for chunk in chunks if chunk.rows_file.removeprefix(f"{_ROWS}/") not in there]


def _statuses(storage: Storage, total: int) -> dict[str, int]:
    """How many rows have which status; that they are as many as the images is part of the result."""
    counted = storage.table(_ROWS).to_table(columns=["status"])["status"].value_counts().to_pylist()
    statuses = {one["values"]: one["counts"] for one in counted}
    if sum(statuses.values()) != total:
        raise OutputError(
            f"{storage.shown(_ROWS)}: holds {sum(statuses.values())} rows for {total} images; "
            "remove files that were put there by hand, then run this again"
        )
    return dict(sorted(statuses.items()))


def _remove_failed(storage: Storage) -> None:
    from pyarrow import compute

    if not storage.names(_ROWS):
        return
    for fragment in storage.table(_ROWS).get_fragments():
        if fragment.count_rows(filter=compute.field("status") != DONE):
            storage.remove({f"{_ROWS}/{fragment.path.rpartition('/')[2]}"})
