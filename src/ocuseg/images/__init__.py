"""Read and write images and masks, whatever the encoding."""

from __future__ import annotations

from ocuseg.images.access import (
    MAX_PIXELS,
    ImageHeader,
    read_field_of_view,
    read_header,
    read_image,
    read_mask,
    write_image,
    write_mask,
    write_probability,
)

__all__ = [
    "MAX_PIXELS",
    "ImageHeader",
    "read_field_of_view",
    "read_header",
    "read_image",
    "read_mask",
    "write_image",
    "write_mask",
    "write_probability",
]
