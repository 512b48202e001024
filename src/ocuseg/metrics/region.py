"""Two masks of one image, as far as a region of it counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["clear_outside"]


def clear_outside(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], region: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks (H, W) as boolean, False outside `region`; None is everywhere.

    Raises ValueError on different shapes or another number of dimensions than two.
    """
    shapes = {array.shape for array in (reference, prediction, region) if array is not None}
    if len(shapes) > 1 or reference.ndim != 2:
        raise ValueError(f"the masks have the shapes {sorted(shapes)}; give masks (H, W) of one size")
    reference, prediction = reference.astype(bool, copy=False), prediction.astype(bool, copy=False)
    if region is None:
        return reference, prediction
    region = region.astype(bool, copy=False)
    return reference & region, prediction & region
