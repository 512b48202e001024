"""A mask as polygons along the edges of its pixels, from which the mask comes back pixel for pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import UsageError

__all__ = ["trace"]

Rings = tuple[NDArray[np.int64], ...]


def trace(pixels: NDArray[np.bool_]) -> list[Rings]:
    """Return a polygon for each connected piece of (H, W) bool pixels: its outer ring (N, 2) of (x, y), then its holes.

    Pieces are connected by edges; pixels that touch at a corner alone are two pieces. All vertices are corners of
    pixels. The order is that of the pieces' upper left pixels. Raises UsageError where shapely is not installed.
    """
    try:
        import shapely
    except ImportError as error:
        raise UsageError("to trace masks shapely is needed: pip install 'ocuseg[annotations]'") from error
    padded = np.zeros((pixels.shape[0], pixels.shape[1] + 2), np.int8)
    padded[:, 1:-1] = pixels
    rows, columns = np.nonzero(np.diff(padded, axis=1))
    lefts, rights, tops = columns[::2], columns[1::2], rows[::2]
    if not lefts.size:
        return []
    # The union of the runs of all rows; `simplify` takes out the vertices on straight edges, exactly, as all are whole.
    union = shapely.union_all(shapely.box(lefts, tops, rights, tops + 1)).simplify(0)
    pieces = [
        tuple(np.rint(shapely.get_coordinates(one)[:-1]).astype(np.int64) for one in (piece.exterior, *piece.interiors))
        for piece in shapely.get_parts(union)
    ]
    return sorted(pieces, key=lambda rings: (rings[0][:, 1].min(), rings[0][rings[0][:, 1].argmin(), 0]))
