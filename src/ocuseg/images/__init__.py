"""Read and write images and masks, whatever the encoding."""

from __future__ import annotations

from ocuseg.images.access import (
    MAX_PIXELS,
    ImageHeader,
    read_facts,
    read_field_of_view,
    read_header,
    read_image,
    read_mask,
    save_mask,
    write_image,
    write_mask,
    write_probability,
)
from ocuseg.images.content import held_content
from ocuseg.images.dicom import is_dicom
from ocuseg.images.medical import Facts
from ocuseg.images.png import WriteRows, image_rows, mask_rows, probability_rows
from ocuseg.images.rows import HeldImage, ImageRows, open_rows

__all__ = [
    "MAX_PIXELS",
    "Facts",
    "HeldImage",
    "ImageHeader",
    "ImageRows",
    "WriteRows",
    "held_content",
    "image_rows",
    "is_dicom",
    "mask_rows",
    "open_rows",
    "probability_rows",
    "read_facts",
    "read_field_of_view",
    "read_header",
    "read_image",
    "read_mask",
    "save_mask",
    "write_image",
    "write_mask",
    "write_probability",
]
