"""The Predictor: from an image to probabilities and a mask, at the image's own size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import ModelError, UsageError
from ocuseg.files import stem_of
from ocuseg.geometry import Placement, Preprocessing, Size, flips, normalise, pad_to_multiple, place
from ocuseg.images import read_image
from ocuseg.prediction.adapting import STEPS, doubts, look_around, mean_of_scales
from ocuseg.prediction.pieces import without_small_pieces
from ocuseg.prediction.single import Result, decide
from ocuseg.prediction.tiling import ReadBytes, blended_bands
from ocuseg.suitability import MadeFor

__all__ = ["ImageLike", "Predictor"]

ImageLike = str | Path | NDArray[np.uint8]
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# Four images of 256 x 256 at once; larger batches were measured to bring nothing on a CPU.
_BATCH_PX = 4 * 256 * 256
# A float32 below this leaves exp finite; the probability is 0 or 1 on 65,536 levels long before.
_STEEPEST = 80.0


class Predictor:
    """A function from an image to a `Result`, whatever the image's size.

    `network` gives the logits of images whose sides are multiples of `preprocessing.multiple`: one channel for two
    classes, else one per class. A prepared image with a side above `tile_px` goes through it in tiles that share
    `overlap_px`; `flips` averages the probabilities of the four flips; pieces of foreground of fewer than
    `smallest_piece_px` at the working size are taken out of them (two classes only). `threshold` is that of the
    foreground of two classes (0.5 if None) and must be None for more. `measures` names what is measured of each mask,
    `made_for` has the features of pictures that it was made for; results say how others differ. With a `preprocessing`
    that has `find_scale`, `usual_doubts` are those of images like the ones of its training, `STEPS` numbers above 0 as
    `doubts` gives them: a scale at which even these are in less doubt than at their own loses that advantage.
    """

    def __init__(
        self,
        network: Network,
        *,
        classes: Classes,
        preprocessing: Preprocessing,
        tile_px: int = 1024,
        overlap_px: int = 128,
        flips: bool = False,
        smallest_piece_px: int | None = None,
        threshold: float | None = None,
        name: str = "model",
        measures: Sequence[str] = (),
        made_for: MadeFor | None = None,
        usual_doubts: Sequence[float] | None = None,
    ) -> None:
        if not 0 <= overlap_px < tile_px:
            raise UsageError(f"tiles of {tile_px} px cannot overlap by {overlap_px} px; give less overlap")
        if threshold is not None and len(classes) != 2:
            raise UsageError(f"a threshold has no meaning for {len(classes)} classes; leave it out")
        if smallest_piece_px is not None and len(classes) != 2:
            raise UsageError(f"a smallest piece has no meaning for {len(classes)} classes; leave it out")
        if threshold is not None and not 0 <= threshold <= 1:
            raise UsageError(f"the threshold {threshold} is no probability; give one from 0 to 1")
        if usual_doubts is not None and (len(usual_doubts) != STEPS or min(usual_doubts) <= 0):
            raise UsageError(f"the usual doubts {list(usual_doubts)} do not fit; give {STEPS} numbers above 0")
        self.network = network
        self.classes = classes
        self.preprocessing = preprocessing
        self.tile_px = tile_px
        self.overlap_px = overlap_px
        self.flips = flips
        self.smallest_piece_px = smallest_piece_px
        self.threshold = 0.5 if threshold is None and len(classes) == 2 else threshold
        self.name = name
        self.measures = tuple(measures)
        self.made_for = made_for
        self.usual_doubts = usual_doubts

    @overload
    def __call__(self, image: ImageLike) -> Result: ...
    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Result]: ...

    def __call__(self, image: ImageLike | list[Any] | tuple[Any, ...]) -> Result | list[Result]:
        """Return the result for a file or an image (H, W, 3) uint8 RGB, or the results for a list of either.

        Raises ImageError for a file that cannot be read, UsageError for an array that is no such image.
        """
        if isinstance(image, str | Path | np.ndarray):
            return self._results([image])[0]
        return self._results(image)

    def probabilities(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (C, H, W) of an image (H, W, 3) uint8, at its own size; C is 1 for two classes."""
        return self.batch_probabilities([image])[0]

    def batch_probabilities(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return the probabilities of each image; neighbours that are small and alike go through the network as one.

        A result depends on its batch no more than by the rounding of the network's sums.
        """
        return [probabilities for _, probabilities in self._native([_checked(image) for image in images])]

    def _native(self, images: Sequence[NDArray[np.uint8]]) -> list[tuple[Placement, NDArray[np.float32]]]:
        """Where each image was seen, and its probabilities (C, H, W) at its own size."""
        placements = [place(image, self.preprocessing) for image in images]
        if not self.preprocessing.find_scale:
            return list(zip(placements, self._placed_probabilities(images, placements), strict=True))
        return [self._found(image, placement) for image, placement in zip(images, placements, strict=True)]

    def _found(self, image: NDArray[np.uint8], placement: Placement) -> tuple[Placement, NDArray[np.float32]]:
        placement, found = self.adapt(placement, lambda plain, at: plain.working_probabilities([image], [at])[0])
        return placement, placement.undo(self.without_small_pieces(found))

    def adapt(
        self, placement: Placement, see: Callable[[Predictor, Placement], NDArray[np.float32]]
    ) -> tuple[Placement, NDArray[np.float32]]:
        """Return the placement at the scale that the image asks for, and the mean over the scales that were looked at.

        `see` gives the probabilities (C, h, w) by the predictor that it gets, at the working size of the placement that
        it gets; flips are averaged at the scale that is taken. For a `preprocessing` with `find_scale`.
        """
        plain = self._without_flips()
        surest, *others = look_around(placement, lambda wanted: see(plain, wanted), self.usual_doubts)
        if self.flips:
            surest = surest._replace(probabilities=see(self, surest.placement))
        return surest.placement, mean_of_scales([surest, *others])

    def doubts(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return how much the network doubts an image (H, W, 3) uint8 at each scale that it could be seen at, (STEPS,).

        The smallest scale comes first; infinite where less than 50 pixels are found. See `ocuseg.prediction.adapting`.
        """
        plain = self._without_flips()
        at_usual = place(_checked(image), self.preprocessing)
        return doubts(at_usual, lambda at: plain.working_probabilities([image], [at])[0])

    def _without_flips(self) -> Predictor:
        plain = copy.copy(self)
        plain.flips = False
        return plain

    def _placed_probabilities(
        self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Placement]
    ) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = []
        for size, group in groupby(zip(images, placements, strict=True), key=lambda pair: pair[1].working_size):
            pairs = list(group)
            at_once = max(1, _BATCH_PX // (size[0] * size[1]))
            for start in range(0, len(pairs), at_once):
                some_images, some_placements = zip(*pairs[start : start + at_once], strict=True)
                found += self._same_sized(some_images, some_placements)
        return found

    def _results(self, items: Sequence[ImageLike]) -> list[Result]:
        images = [_checked(item) if isinstance(item, np.ndarray) else read_image(Path(item)) for item in items]
        names = ["image" if isinstance(item, np.ndarray) else stem_of(Path(item)) for item in items]
        return [
            Result(
                decide(probabilities, self.threshold),
                probabilities,
                image,
                self.classes,
                self.threshold,
                name,
                measured=self.measures,
                made_for=self.made_for,
                area=placement.area,
            )
            for name, image, (placement, probabilities) in zip(names, images, self._native(images), strict=True)
        ]

    def _same_sized(
        self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Placement]
    ) -> list[NDArray[np.float32]]:
        found = map(self.without_small_pieces, self.working_probabilities(images, placements))
        size = placements[0].working_size
        untouched = Placement(size, (0, 0, *size), size)  # needs no second array where all of it was seen
        return [
            one if placement.seen is None and placement == untouched else placement.undo(one)
            for placement, one in zip(placements, found, strict=True)
        ]

    def without_small_pieces(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (C, h, w) at the working size without the pieces that are too small, if any are."""
        if self.smallest_piece_px is None:
            return probabilities
        return without_small_pieces(probabilities, self.threshold, self.smallest_piece_px)

    def working_probabilities(
        self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Placement]
    ) -> NDArray[np.float32]:
        """Return the probabilities (N, C, h, w) of images at the one working size (h, w) of their placements."""
        # Padded as (3, h, w) bytes, so that a large image is never held whole as floats.
        prepared = [placement.apply_image(image) for image, placement in zip(images, placements, strict=True)]
        channels_first = np.stack([one.transpose(2, 0, 1) for one in prepared])
        padded, undo = pad_to_multiple(channels_first, self.preprocessing.multiple)
        whole = max(placements[0].working_size) <= self.tile_px
        return undo(self.window(padded) if whole else self._tiled(padded))

    def window(self, padded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (N, C, h, w) of prepared bytes (N, 3, h, w), seen at once.

        Their sides are multiples of that of the network.
        """
        images = np.stack([normalise(one.transpose(1, 2, 0), self.preprocessing) for one in padded])
        if not self.flips:
            return self._activated(self.network(images))
        mean = np.zeros((len(images), self.classes.out_channels, *images.shape[2:]), np.float32)
        for flip, undo in flips:
            mean += undo(self._activated(self.network(flip(images))))
        mean /= len(flips)
        return mean

    def _tiled(self, padded: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C, h, w) of prepared bytes (N, 3, h, w), blended from overlapping tiles."""
        size = (padded.shape[2], padded.shape[3])
        found = np.empty((len(padded), self.classes.out_channels, *size), np.float32)
        for top, band in self.tiled_bands(lambda start, stop: padded[:, :, start:stop], size):
            found[:, :, top : top + band.shape[2]] = band
        return found

    def tiled_bands(self, read: ReadBytes, size: Size) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Return the probabilities of prepared bytes of `size` by bands, as `blended_bands` has them."""
        return blended_bands(
            self.window,
            read,
            size,
            tile_px=self.tile_px,
            overlap_px=self.overlap_px,
            multiple=self.preprocessing.multiple,
        )

    def _activated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities from logits (N, C, h, w): sigmoid of one channel, softmax over more."""
        if logits.shape[1] != self.classes.out_channels:
            raise ModelError(
                f"{self.name}: the network gives {logits.shape[1]} channels, but {len(self.classes)} classes need "
                f"{self.classes.out_channels}; export the model again"
            )
        if not (np.isfinite(logits.max()) and np.isfinite(logits.min())):
            raise ModelError(f"{self.name}: the network gives values that are no numbers; try fp32 or train it again")
        if logits.shape[1] == 1:
            values: NDArray[np.float32] = np.clip(logits, -_STEEPEST, _STEEPEST)
            np.exp(np.negative(values, out=values), out=values)
            values += 1
            np.reciprocal(values, out=values)
            return values
        values = logits - logits.max(axis=1, keepdims=True)
        np.exp(values, out=values)
        values /= values.sum(axis=1, keepdims=True)
        return values


def _checked(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        shape = " x ".join(map(str, image.shape)) or "no size"
        raise UsageError(f"an array of {image.dtype}, {shape} is no image; give height x width x 3 of uint8, RGB")
    return image
