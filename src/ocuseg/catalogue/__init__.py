"""Public sets of this field: what is known of each, how its files are fetched, and how they become a data set here."""

from __future__ import annotations

from ocuseg.catalogue.entries import PublicSet, find_set, read_catalogue
from ocuseg.catalogue.getting import Got, get_set

__all__ = ["Got", "PublicSet", "find_set", "get_set", "read_catalogue"]
