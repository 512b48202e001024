"""Folder or split file to records; opens no pixels."""

from __future__ import annotations

from ocuseg.index.building import Index, Record, build_index, find_images

__all__ = ["Index", "Record", "build_index", "find_images"]
