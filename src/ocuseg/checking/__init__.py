"""Records to findings; never stops at the first."""

from __future__ import annotations

from ocuseg.checking.checks import CheckResult, check_index, divide_checked

__all__ = ["CheckResult", "check_index", "divide_checked"]
