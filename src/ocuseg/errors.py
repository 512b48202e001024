"""The exceptions a user can meet, in one visible tree.

Every message is one line that says what, where and the remedy::

    OcusegError                 exit status 1
    ├── UsageError              exit status 2: the command or function was called wrongly
    │   └── RecipeError         a recipe holds a key or value that is not accepted
    ├── DataError               a data set cannot be used
    │   ├── ImageError          one file cannot be read as what it should be
    │   └── CheckError          a data set has findings of level error
    ├── ModelError              a run, bundle or checkpoint cannot be used
    │   └── ExportError         the exported network disagrees with the trained one
    ├── TrainingError           a training run cannot go on
    │   ├── LossError           the loss is no longer a number
    │   ├── ResumeError         a run cannot be resumed as asked
    │   └── DeadNetworkError    the network learnt nothing
    └── OutputError             a result cannot be written
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "CheckError",
    "DataError",
    "DeadNetworkError",
    "ExportError",
    "ImageError",
    "LossError",
    "ModelError",
    "OcusegError",
    "OutputError",
    "RecipeError",
    "ResumeError",
    "TrainingError",
    "UsageError",
]


class OcusegError(Exception):
    """Anything that a user can put right; its text is one line: what, where, remedy."""

    exit_status = 1


class UsageError(OcusegError):
    """The command or function was called wrongly."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe holds a key or a value that is not accepted."""


class DataError(OcusegError):
    """A data set cannot be used."""


class ImageError(DataError):
    """One file cannot be read as what it should be; `kind` says whether as such, by its kind or by its size."""

    def __init__(
        self, message: str, *, kind: Literal["unreadable", "not an image", "too large"] = "unreadable"
    ) -> None:
        super().__init__(message)
        self.kind = kind


class CheckError(DataError):
    """A data set has findings of level error."""


class ModelError(OcusegError):
    """A run, bundle or checkpoint cannot be used."""


class ExportError(ModelError):
    """The exported network disagrees with the trained one."""


class TrainingError(OcusegError):
    """A training run cannot go on."""


class LossError(TrainingError):
    """The loss is no longer a number."""


class ResumeError(TrainingError):
    """A run cannot be resumed as asked."""


class DeadNetworkError(TrainingError):
    """The network learnt nothing that the class shares do not say already."""


class OutputError(OcusegError):
    """A result cannot be written."""
