"""Words that several messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["meant"]


def meant(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'X'? ` where a known word is close to `word`, else nothing."""
    by_small = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_small, n=1, cutoff=0.5)
    return f"did you mean {by_small[close[0]]!r}? " if close else ""
