"""The pieces of a predicted mask as annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, ClassInfo
from ocuseg.formats.regions import Outline, cover
from ocuseg.formats.tracing import Rings, trace

__all__ = ["Piece", "pieces"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One connected piece of a class: its outer ring and holes along the edges of pixels."""

    class_info: ClassInfo
    rings: Rings

    @property
    def outer(self) -> list[list[int]]:
        """The corners of the outer ring as [x, y]."""
        corners: list[list[int]] = self.rings[0].tolist()
        return corners

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """Return left, top and the pixels (h, w) of the piece in an image of this size."""
        patch = cover(Outline((tuple(ring.astype(float) for ring in self.rings),)), size)
        assert patch is not None
        return patch.columns.start, patch.rows.start, patch.pixels


def pieces(mask: NDArray[np.uint8], classes: Classes) -> Iterator[Piece]:
    """Yield the pieces of all classes but the background, class by class, from the top down."""
    for info in classes.items[1:]:
        for rings in trace(mask == info.id):
            yield Piece(info, rings)
