"""Areas of the classes in a mask, and what share each is of the image and of the class that it is a part of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.metrics.overlap import number, occurrences

__all__ = [
    "AREA_COLUMNS",
    "MEDICAL_COLUMNS",
    "area_rows",
    "class_areas",
    "listed_ids",
    "rows_of_areas",
    "shares_of_parent",
]

AREA_COLUMNS = ("image", "class_id", "class", "pixels", "share_of_image", "parent", "share_of_parent")
MEDICAL_COLUMNS = ("area_mm2", "laterality")
"""What the rows have beside for pictures out of medical files that say so."""


def class_areas(mask: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class (C,) in a mask (H, W) of class ids; other ids count nowhere."""
    return occurrences(mask, 256)[:num_classes]


def shares_of_parent(areas: NDArray[Any], classes: Classes) -> NDArray[np.float64]:
    """Return for areas (..., C) the share of each class in the class it is a part of, from 0 to 1, (..., C).

    The area of a class includes that of all its parts, so that a cataract with the parent `clear lens` gives cataract /
    (clear lens + cataract). NaN for classes without a parent and where the parent has no area.
    """
    whole = np.array(areas, dtype=np.float64)
    parents = {item.id: classes.names.index(item.parent) for item in classes.items if item.parent is not None}
    for part in parents:
        above, seen = parents.get(part), {part}
        while above is not None and above not in seen:
            whole[..., above] += areas[..., part]
            seen.add(above)
            above = parents.get(above)
    shares = np.full(whole.shape, np.nan)
    for part, parent in parents.items():
        np.divide(whole[..., part], whole[..., parent], out=shares[..., part], where=whole[..., parent] > 0)
    return shares


def area_rows(image: str, mask: NDArray[np.uint8], classes: Classes) -> list[dict[str, Any]]:
    """Return a row of `AREA_COLUMNS` for each of `listed_ids` in the mask (H, W) of one image.

    `pixels` are those of the class itself, `share_of_image` is from 0 to 1 of all pixels of the mask, and
    `share_of_parent` that of `shares_of_parent`; `parent` and its share are None for a class without one, the share
    also where the parent is not in the image.
    """
    return rows_of_areas(image, class_areas(mask, len(classes)), mask.size, classes)


def rows_of_areas(image: str, areas: NDArray[np.int64], pixels: int, classes: Classes) -> list[dict[str, Any]]:
    """Return the rows of `area_rows` from the pixels of each class (C,) and those of the whole mask."""
    shares = shares_of_parent(areas, classes)
    return [
        {
            "image": image,
            "class_id": class_id,
            "class": classes.names[class_id],
            "pixels": int(areas[class_id]),
            "share_of_image": number(areas[class_id] / max(1, pixels)),
            "parent": classes.items[class_id].parent,
            "share_of_parent": number(shares[class_id]),
        }
        for class_id in listed_ids(classes)
    ]


def listed_ids(classes: Classes) -> range:
    """Return the ids that tables per image have a row for: class 1 of two classes, all of more."""
    return range(1, 2) if len(classes) == 2 else range(len(classes))
