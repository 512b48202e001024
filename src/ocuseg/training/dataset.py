"""Samples become batches.

What a batch holds is a function of the seed, the epoch and the step alone - never of a generator's history - so that
a run that was killed goes on exactly as if it had not been.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from ocuseg.errors import DataError
from ocuseg.geometry import pad_to_multiple
from ocuseg.training.frequencies import repeat_factors
from ocuseg.training.samples import Sample

__all__ = ["Batch", "EpochSteps", "TrainingBatches", "ValidationImages"]

Batch = dict[str, Any]


class EpochSteps(Sampler[tuple[int, int]]):
    """The (epoch, step) pairs of the current epoch, each the whole identity of a batch."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for step in range(self.steps):
            yield self.epoch, step


class TrainingBatches(Dataset[Batch]):
    """Batches of windows cut from the samples, addressed by (epoch, step).

    A window is larger than the crop by `margin`, so that a rotated or shrunk crop still finds image under it; what
    lies outside the image is not counted. With `crop_px=None` the samples, all of one size, are taken whole.
    `sampler` is `uniform`: every sample equally often; `balanced`: every class equally often, with a pixel of it at
    the window's centre; or `repeat_factor`: samples with classes rarer than `repeat_threshold` more often. An epoch
    has `steps_per_epoch` steps, or as many as one turn through the samples needs, repeats included.
    With `part` (k, n) these are the k-th, from 0, of n equal parts of batches that are n times as large.
    `images` (N, 3, H, W) uint8, `target` (N, H, W) uint8, `counted` (N, H, W) bool, `names`, `epoch`, `step`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        batch_size: int,
        crop_px: int | None,
        margin: float,
        sampler: str,
        num_classes: int,
        steps_per_epoch: int | None,
        seed: int,
        repeat_threshold: float = 0.15,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.whole = batch_size * part[1]
        self._first = batch_size * part[0]
        self.seed = seed
        self.num_classes = num_classes
        self.balanced = sampler == "balanced"
        sizes = {sample.target.shape for sample in samples}
        if crop_px is None and len(sizes) > 1:
            raise DataError(
                f"the training images have {len(sizes)} different sizes; set 'crop_px' or 'preprocessing.size' "
                "in the recipe"
            )
        self.out_size = (crop_px, crop_px) if crop_px else next(iter(sizes))
        self.crop_px = crop_px
        side = math.ceil((crop_px or 0) * margin / 2) * 2
        self.window = (side, side) if crop_px else self.out_size
        self._holders = [
            [i for i, sample in enumerate(samples) if np.any(sample.counted & (sample.target == class_id))]
            for class_id in range(num_classes)
        ]
        self.repeats = np.ones(len(samples))
        if sampler == "repeat_factor":
            holds = np.zeros((len(samples), num_classes), bool)
            for class_id, holders in enumerate(self._holders):
                holds[holders, class_id] = True
            self.repeats = repeat_factors(holds, repeat_threshold)
        self._order = _Order(self.repeats, seed)
        self.steps = steps_per_epoch or max(1, math.ceil(float(self.repeats.sum()) / self.whole))
        self.nbytes = sum(_nbytes(sample) for sample in samples)
        self.hold_on(torch.device("cpu"))

    def hold_on(self, device: torch.device) -> None:
        """Hold the samples on a device, on which batches are then cut; the CPU shares the memory of the samples."""
        self._device = device
        self._pixels = [
            [torch.from_numpy(part).to(device) for part in (sample.image, sample.target, sample.counted)]
            for sample in self.samples
        ]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        epoch, step = place
        rng = np.random.default_rng([self.seed, 1, epoch, step])
        size = (self.batch_size, *self.window)
        images = torch.zeros(*size, 3, dtype=torch.uint8, device=self._device)
        target = torch.zeros(size, dtype=torch.uint8, device=self._device)
        counted = torch.zeros(size, dtype=torch.bool, device=self._device)
        names = []
        for row, (index, class_id) in enumerate(self._choose(epoch, step, rng), start=-self._first):
            sample = self.samples[index]
            top, left = self._corner(sample, class_id, rng)  # of another part as well: the next number depends on it
            if not 0 <= row < self.batch_size:
                continue
            into, source = _overlap((top, left), self.window, sample.target.shape)
            for windows, pixels in zip((images, target, counted), self._pixels[index], strict=True):
                windows[row][into] = pixels[source]
            names.append(sample.name)
        return {
            "images": images.permute(0, 3, 1, 2),
            "target": target,
            "counted": counted,
            "names": names,
            "epoch": epoch,
            "step": step,
        }

    def _choose(self, epoch: int, step: int, rng: np.random.Generator) -> list[tuple[int, int | None]]:
        """Return (sample, class that the window shall hold) for each row of the batch."""
        if self.balanced:
            present = [class_id for class_id, holders in enumerate(self._holders) if holders]
            drawn = [int(rng.choice(present)) for _ in range(self.whole)]
            return [(int(rng.choice(self._holders[class_id])), class_id) for class_id in drawn]
        first = (epoch * self.steps + step) * self.whole  # the epochs cut one endless sequence
        return [(self._order[first + row], None) for row in range(self.whole)]

    def _corner(self, sample: Sample, class_id: int | None, rng: np.random.Generator) -> tuple[int, int]:
        if self.crop_px is None:
            return 0, 0
        height, width = sample.target.shape
        if class_id is None:
            # The crop, not the window, stays inside the image; a crop larger than the image is centred on it.
            y = _centre(height, self.crop_px, rng)
            x = _centre(width, self.crop_px, rng)
        else:
            pixels = np.flatnonzero(sample.counted & (sample.target == class_id))
            y, x = divmod(int(pixels[rng.integers(len(pixels))]), width)
        return y - self.window[0] // 2, x - self.window[1] // 2


class _Order:
    """An endless sequence of samples: turn after turn through all of them, each turn in its own random order.

    Sample i comes `repeats[i]` times a turn on average: the whole number, and once more by chance for the rest, drawn
    anew in each turn. Place and seed alone say which sample it is.
    """

    def __init__(self, repeats: NDArray[np.float64], seed: int) -> None:
        self.repeats = repeats
        self.seed = seed
        self._ends = [0]  # the place after each turn

    def __getitem__(self, place: int) -> int:
        while self._ends[-1] <= place:
            self._ends.append(self._ends[-1] + len(self._turn(len(self._ends) - 1)))
        turn = bisect_right(self._ends, place) - 1
        return int(self._turn(turn)[place - self._ends[turn]])

    def _turn(self, turn: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.seed, 2, turn])
        samples = np.arange(len(self.repeats))
        whole = self.repeats.astype(np.int64)
        if (whole < self.repeats).any():
            samples = np.repeat(samples, whole + (rng.random(len(whole)) < self.repeats - whole))
        else:
            samples = np.repeat(samples, whole)
        return rng.permutation(samples)


class ValidationImages(Dataset[Batch]):
    """The validation samples one by one, whole and padded as prediction sees them.

    With `part` (k, n) every n-th of them from the k-th, from 0, on; where that is none, one image that has no name and
    does not count. `places` says which of `samples` each item is.
    `images` is (1, 3, h', w') uint8, padded to the network's multiple; `target` and `counted` are (1, h, w).
    """

    def __init__(self, samples: Sequence[Sample], multiple: int, part: tuple[int, int] = (0, 1)) -> None:
        self.samples = samples
        self.multiple = multiple
        self.places = range(part[0], len(samples), part[1])
        self.nbytes = sum(_nbytes(samples[place]) for place in self.places)
        self._held: list[Batch] = []

    def hold_on(self, device: torch.device) -> None:
        """Hold the images, padded, on a device."""
        self._held = [
            {name: part.to(device) if isinstance(part, torch.Tensor) else part for name, part in self[index].items()}
            for index in range(len(self))
        ]

    def __len__(self) -> int:
        return max(1, len(self.places))

    def __getitem__(self, index: int) -> Batch:
        if self._held:
            return self._held[index]
        sample = self.samples[self.places[index]] if self.places else _nothing(self.multiple)
        image, _ = pad_to_multiple(sample.image.transpose(2, 0, 1), self.multiple)
        return {
            "images": torch.from_numpy(np.ascontiguousarray(image))[None],
            "target": torch.from_numpy(sample.target)[None],
            "counted": torch.from_numpy(sample.counted)[None],
            "names": [sample.name] if self.places else [],
        }


def _nbytes(sample: Sample) -> int:
    return sample.image.nbytes + sample.target.nbytes + sample.counted.nbytes


def _nothing(size: int) -> Sample:
    blank = np.zeros((size, size), np.uint8)
    return Sample("", np.zeros((size, size, 3), np.uint8), blank, blank > 0)


def _centre(size: int, crop: int, rng: np.random.Generator) -> int:
    if size <= crop:
        return size // 2
    return int(rng.integers(crop // 2, size - (crop - crop // 2) + 1))


def _overlap(
    corner: tuple[int, int], window: tuple[int, int], size: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the part of a window that lies inside an image goes, and where it comes from."""
    into, source = [], []
    for start, length, limit in zip(corner, window, size, strict=True):
        low, high = max(start, 0), max(min(start + length, limit), max(start, 0))
        into.append(slice(low - start, high - start))
        source.append(slice(low, high))
    return (into[0], into[1]), (source[0], source[1])
