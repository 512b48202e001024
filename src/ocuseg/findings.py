"""What a check found: one finding per fault, each with its place and its remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "Findings", "Level"]

Level = Literal["error", "warning", "note"]
_LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or peculiarity of a data set.

    `code` is a stable kebab-case word (`mask-missing`); `path` is relative to the data set's folder where the file
    lies inside it; `expected` and `found` are short phrases; `remedy` is what to do, as an imperative.
    """

    level: Level
    code: str
    path: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        """Return the finding as one line: path, expected, found, remedy; a note is about what was found."""
        if self.level == "note":
            return f"{self.path}: {self.expected}: {self.found}; {self.remedy}"
        return f"{self.path}: expected {self.expected}, found {self.found}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of one check, errors first, in a stable order."""

    items: tuple[Finding, ...]
    images: int

    @classmethod
    def sorted(cls, items: Iterable[Finding], images: int) -> Findings:
        """Return findings ordered by level, code and path."""
        key = {level: rank for rank, level in enumerate(_LEVELS)}
        return cls(tuple(sorted(items, key=lambda item: (key[item.level], item.code, item.path))), images)

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over the findings, errors first."""
        return iter(self.items)

    def __len__(self) -> int:
        """Return how many findings there are."""
        return len(self.items)

    def of_level(self, level: Level) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(item for item in self.items if item.level == level)

    @property
    def has_errors(self) -> bool:
        """Whether training must not start."""
        return any(item.level == "error" for item in self.items)

    @property
    def summary(self) -> str:
        """One line that counts the images and the findings of each level."""
        counts = Counter(item.level for item in self.items)
        parts = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in _LEVELS]
        return f"{self.images} image{'' if self.images == 1 else 's'}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Return plain types for `findings.json`."""
        return {
            "schema": 1,
            "images": self.images,
            "summary": self.summary,
            "findings": [asdict(item) for item in self.items],
        }
