"""How the stored values of a DICOM picture become levels that are seen: rescale, window, tables, colours.

As DICOM PS3.3 says: C.7.6.3.1 (photometric interpretations), C.11.1 (Modality LUT), C.11.2 (VOI LUT and window).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.images.depth import to_eight_bits
from ocuseg.images.medical import by_limits

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["KEYWORDS", "levels_note", "of_first_frame", "seen"]

KEYWORDS = (
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    *(
        f"{kind}{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
    ),
)  # fmt: skip
"""The attributes of a header that these functions look at."""


def levels_note(header: Dataset) -> list[str]:
    """Return what `seen` does that a reader of the picture should know, in words."""
    notes = list[str]()
    photometric = str(header.get("PhotometricInterpretation"))
    window = _window(header)
    if photometric.startswith("MONOCHROME"):
        if header.get("VOILUTSequence"):
            notes.append("grey levels by its table (VOI LUT)")
        elif window is not None:
            notes.append(f"grey levels by its window (centre {window[0]:g}, width {window[1]:g}, {window[2]})")
        elif int(header.get("PixelRepresentation") or 0) or int(header.get("BitsAllocated") or 8) > 16:
            notes.append("grey levels from its least to its greatest value, as it has no window")
        elif int(header.get("BitsStored") or 8) > 8:
            notes.append("grey levels by the bits that its brightest value needs, as it has no window")
        if photometric == "MONOCHROME1":
            notes.append("inverted, as it says (MONOCHROME1)")
    return notes


def _window(header: Dataset) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window."""
    centre = of_first_frame(header, "WindowCenter", "FrameVOILUTSequence")
    width = of_first_frame(header, "WindowWidth", "FrameVOILUTSequence")
    if centre is None or width is None:
        return None
    values = [float(one[0] if hasattr(one, "__len__") and not isinstance(one, str) else one) for one in (centre, width)]
    named = of_first_frame(header, "VOILUTFunction", "FrameVOILUTSequence")
    function = named if named in ("SIGMOID", "LINEAR_EXACT") else "LINEAR"
    return (values[0], values[1], str(function)) if values[1] > 0 else None


def _rescale(header: Dataset) -> tuple[float, float]:
    slope = of_first_frame(header, "RescaleSlope", "PixelValueTransformationSequence")
    intercept = of_first_frame(header, "RescaleIntercept", "PixelValueTransformationSequence")
    return float(1 if slope is None else slope), float(0 if intercept is None else intercept)


def seen(header: Dataset, values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return stored values (H, W), or colours (H, W, 3) in RGB, as they are meant to be seen: uint8 of the same shape.

    `bits` are those that are stored. Raises whatever pydicom does on a header that contradicts itself.
    """
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric == "PALETTE COLOR":
        return _coloured(header, values)
    if values.ndim == 3 or not photometric.startswith("MONOCHROME"):
        return to_eight_bits(values)
    grey = _grey(header, values, bits)
    return np.subtract(255, grey, dtype=np.uint8) if photometric == "MONOCHROME1" else grey


def _grey(header: Dataset, values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi

    table, window = header.get("VOILUTSequence"), _window(header)
    if table or window:
        if header.get("ModalityLUTSequence"):
            values = apply_modality_lut(values, header)
        else:
            slope, intercept = _rescale(header)
            values = values if (slope, intercept) == (1, 0) else values * slope + intercept
        if table:
            shown = apply_voi(values.astype(np.int64), header)
            return by_limits(shown, 0, (1 << int(table[0].LUTDescriptor[2])) - 1)
        assert window is not None
        return _windowed(values, *window)
    slope = _rescale(header)[0]
    if np.issubdtype(values.dtype, np.signedinteger) or values.dtype.itemsize > 2:
        grey = by_limits(values, float(values.min()), float(values.max()))
    else:
        grey = by_limits(values, 0, 1) if bits == 1 else to_eight_bits(values, 8 if bits <= 8 else None)
    return np.subtract(255, grey, dtype=np.uint8) if slope < 0 else grey


def _windowed(values: NDArray[Any], centre: float, width: float, function: str) -> NDArray[np.uint8]:
    """Levels 0 to 255 by a window: PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        level = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -50, 50)))
        return by_limits(level, 0, 1)
    if function == "LINEAR_EXACT":
        return by_limits(values, centre - width / 2, centre + width / 2)
    if width <= 1:
        return np.where(values <= centre - 0.5, 0, 255).astype(np.uint8)
    return by_limits(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _coloured(header: Dataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(values, header)[..., :3]
    if colours.dtype == np.uint8:
        return np.asarray(colours)
    # Some writers put 8 bits into tables that claim 16.
    return to_eight_bits(colours, 8 if int(colours.max()) < 256 else 16)


def of_first_frame(header: Dataset, keyword: str, group: str) -> Any:
    """The value of an attribute: of the file, or in a functional group of its first or of all frames; else None."""
    if header.get(keyword) is not None:
        return header.get(keyword)
    for frames in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for frame in (header.get(frames) or ())[:1]:
            for item in (frame.get(group) or ())[:1]:
                if item.get(keyword) is not None:
                    return item.get(keyword)
    return None
