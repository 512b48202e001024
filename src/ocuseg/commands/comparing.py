"""The command that sets two evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocuseg.evaluation.comparison import Comparison

__all__ = ["compare"]


def compare(first: str | Path, second: str | Path, *, out: str | Path | None = None) -> Comparison:
    """Return the differences first - second between two evaluations of the same images, with intervals and tests.

    With `out`, a folder, they are written down as well, with a report that shows both predictions of each image.
    """
    from ocuseg.commands.spelling import spelt
    from ocuseg.evaluation.comparison import compare

    if out is None:
        return compare(first, second)
    from ocuseg.reporting import require_comparison_replaceable, write_comparison

    require_comparison_replaceable(out)
    comparison = compare(first, second)
    write_comparison(comparison, first, second, out, command=spelt("compare", [first, second], {"out": out}))
    return comparison
