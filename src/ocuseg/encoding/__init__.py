"""What the raw values of mask files mean."""

from __future__ import annotations

from ocuseg.encoding.inference import Kind, MaskEncoding, RawMask, Value, count_values, infer_encoding

__all__ = ["Kind", "MaskEncoding", "RawMask", "Value", "count_values", "infer_encoding"]
