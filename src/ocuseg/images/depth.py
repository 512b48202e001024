"""Grey levels and colours of more than 8 bits, brought to 8."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["to_eight_bits"]

_DEPTHS = (8, 10, 12, 14, 16)


def to_eight_bits(pixels: NDArray[Any], bits: int | None = None) -> NDArray[np.uint8]:
    """Return unsigned pixels of 8 or 16 bits as uint8: the full range of `bits` becomes 0 to 255.

    Without `bits` it is that of 8, 10, 12, 14 or 16, the first into which the brightest value fits.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if bits is None:
        needed = int(pixels.max(initial=0)).bit_length()
        bits = next(depth for depth in _DEPTHS if depth >= needed)
    white = (1 << bits) - 1
    table = ((np.arange(1 << bits, dtype=np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    scaled: NDArray[np.uint8] = table[pixels]
    return scaled
