"""Records through a predictor to what was measured of each, one after the other and in bounded memory."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ImageError
from ocuseg.evaluation.cases import Case, RegionRule, read_case
from ocuseg.evaluation.counting import MaskCounts, count_levels, count_masks
from ocuseg.evaluation.scores import foreground
from ocuseg.index.records import Record
from ocuseg.metrics.ranking import auc, average_precision
from ocuseg.prediction import decide

__all__ = ["Measured", "MeasuringRules", "PackedMask", "PredictorLike", "measure_records", "predicted_cases"]

_NONE = np.zeros((0, 0, 0), np.float32)


class PredictorLike(Protocol):
    """What is needed of a predictor; `ocuseg.prediction.Predictor` is one."""

    @property
    def classes(self) -> Classes:
        """The classes that are predicted."""

    @property
    def threshold(self) -> float | None:
        """The threshold of two classes; None for more, where the most probable class is taken."""

    def probabilities(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (1 or C, H, W) of an image at its own size."""


@dataclass(frozen=True, slots=True)
class MeasuringRules:
    """What is measured: where, and whether borders, threads and a second observer are looked at."""

    region: RegionRule
    borders: bool
    threads: bool
    second_observer: bool


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A mask of class ids, compressed: the masks of thousands of images fit into memory."""

    size: tuple[int, int]
    data: bytes

    @classmethod
    def pack(cls, mask: NDArray[np.uint8]) -> PackedMask:
        """Return the mask (H, W), compressed."""
        return cls((mask.shape[0], mask.shape[1]), zlib.compress(np.ascontiguousarray(mask).tobytes(), 1))

    def unpack(self) -> NDArray[np.uint8]:
        """Return the mask (H, W) again."""
        return np.frombuffer(zlib.decompress(self.data), dtype=np.uint8).reshape(self.size)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of one image; `second` compares the second observer's mask with the first.

    `auc` and `average_precision` are (F,); `histograms` (K, 2, 65536) and `confidence` (2, 65536) are to be added up,
    not kept. `has_field_of_view` says whether one bounds the region.
    """

    record: Record
    masks: MaskCounts
    second: MaskCounts | None
    auc: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    histograms: NDArray[np.int64]
    confidence: NDArray[np.int64]
    prediction: PackedMask
    has_field_of_view: bool
    problem: str | None


def measure_records(
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    rules: MeasuringRules,
    *,
    workers: int,
) -> Iterator[Measured | DataError]:
    """Yield in order what was measured of each record, or the error that says why it could not be.

    The network runs in the caller's thread; a pool of `workers` threads reads ahead of it and counts behind it.
    At most `workers` images wait at either end.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ocuseg-counting")
    waiting: deque[tuple[Record, Future[Measured]] | DataError] = deque()
    try:
        for case, probabilities in predicted_cases(predictor, records, encoding, rules, pool, workers):
            if isinstance(case, DataError):
                waiting.append(case)
            else:
                waiting.append((case.record, pool.submit(_measure, case, probabilities, predictor, rules)))
            del case, probabilities
            while len(waiting) > workers:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def predicted_cases(
    predictor: PredictorLike,
    records: Sequence[Record],
    encoding: MaskEncoding,
    rules: MeasuringRules,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[tuple[Case | DataError, NDArray[np.float32]]]:
    """Yield each record's arrays with its probabilities (1 or C, H, W), or the error that says why there are none."""
    read = partial(
        read_case,
        encoding=encoding,
        classes=predictor.classes,
        region=rules.region,
        second_observer=rules.second_observer,
    )
    upcoming = iter(records)
    reading: deque[tuple[Record, Future[Case]]] = deque()
    while True:
        for record in upcoming:
            reading.append((record, pool.submit(read, record)))
            if len(reading) > ahead:
                break
        if not reading:
            return
        record = reading[0][0]
        try:
            case = reading.popleft()[1].result()
            probabilities = predictor.probabilities(case.image)
        except DataError as error:
            yield error, _NONE
        except MemoryError:
            yield _too_large(record), _NONE
        else:
            yield case, probabilities
            del case, probabilities


def _measure(
    case: Case, probabilities: NDArray[np.float32], predictor: PredictorLike, rules: MeasuringRules
) -> Measured:
    num_classes = len(predictor.classes)
    prediction = decide(probabilities, predictor.threshold)
    histograms, confidence = count_levels(probabilities, case.reference, prediction, case.region)
    ranked = foreground(histograms)

    def compared(mask: NDArray[np.uint8], region: NDArray[np.bool_] | None) -> MaskCounts:
        return count_masks(case.reference, mask, num_classes, region, borders=rules.borders, threads=rules.threads)

    return Measured(
        record=case.record,
        masks=compared(prediction, case.region),
        second=None if case.second is None else compared(case.second, case.second_region),
        auc=auc(ranked),
        average_precision=average_precision(ranked),
        histograms=histograms,
        confidence=confidence,
        prediction=PackedMask.pack(prediction),
        has_field_of_view=rules.region == "field_of_view" and case.record.field_of_view is not None,
        problem=case.problem,
    )


def _result(waiting: tuple[Record, Future[Measured]] | DataError) -> Measured | DataError:
    if isinstance(waiting, DataError):
        return waiting
    record, future = waiting
    try:
        return future.result()
    except MemoryError:
        return _too_large(record)


def _too_large(record: Record) -> ImageError:
    return ImageError(f"{record.image}: needs more memory than there is; give a smaller image", kind="too large")
