"""Which files the results of an image go to, and which of those that are there may be replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocuseg.classes import Classes
from ocuseg.errors import UsageError
from ocuseg.prediction.naming import output_names
from ocuseg.prediction.tables import foreign

__all__ = ["SOFTWARE", "Plan", "Plans", "require_predicted", "without_masks"]

SOFTWARE = "ocuseg predict"
"""What a predicted mask says of its origin, by which a later run knows that it may replace it."""

ProbabilityKind = Literal["png", "npz"] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The files that the results of one image go to."""

    image: Path
    mask: Path
    probabilities: tuple[Path, ...]
    overlay: Path | None

    @property
    def name(self) -> str:
        """The name of the image among the results."""
        return self.mask.stem

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All of them, the mask first."""
        return (self.mask, *self.probabilities, *((self.overlay,) if self.overlay else ()))


class Plans:
    """A plan for each of many images, made when it is asked for, as paths take much memory.

    `known_as` gives the name of an image among the results of earlier runs, or None.
    """

    def __init__(
        self,
        images: Sequence[Path | str],
        out_dir: Path,
        classes: Classes,
        kind: ProbabilityKind,
        *,
        overlay: bool,
        known_as: Callable[[Path], str | None],
    ) -> None:
        self.images = list({Path(image).resolve(): Path(image) for image in images}.values())
        self._names = output_names(self.images, [known_as(image) for image in self.images])
        self._out_dir, self._classes, self._kind, self._overlay = out_dir, classes, kind, overlay

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Plan:
        name, folder = self._names[index], self._out_dir / "probabilities"
        levels: tuple[Path, ...] = ()
        if self._kind == "npz":
            levels = (folder / f"{name}.npz",)
        elif self._kind == "png" and len(self._classes) == 2:
            levels = (folder / f"{name}.png",)
        elif self._kind == "png":
            levels = tuple(
                folder / f"{item.id}_{re.sub(r'[^A-Za-z0-9-]+', '_', item.name).strip('_')}" / f"{name}.png"
                for item in self._classes.items
            )
        overlay = self._out_dir / "overlays" / f"{name}.png" if self._overlay else None
        return Plan(self.images[index], self._out_dir / f"{name}.png", levels, overlay)

    def require_apart(self) -> None:
        """Raise UsageError where an output is the same file as an input, by whatever name the file system knows it."""
        inputs = {identity: index for index, image in enumerate(self.images) if (identity := _identity(image))}
        for index in range(len(self)):
            for output in self[index].outputs:
                image = inputs.get(_identity(output) or (-1, -1))
                if image is not None:
                    raise UsageError(
                        f"{output}: would be written over the image {self.images[image]}; give another output folder"
                    )


def require_predicted(masks: Iterable[Path]) -> None:
    """Raise OutputError where a mask is there that was not predicted: one drawn by hand is hours of work."""
    for path in masks:
        if path.is_file() and not _is_predicted(path):
            raise foreign(path)


def without_masks(images: Sequence[Path], out_dir: Path) -> list[Path]:
    """Return the images less the masks that an earlier run has left among them, where they lie in `out_dir` itself.

    Raises UsageError where nothing else is there.
    """
    folder = out_dir.resolve()
    left = [path for path in images if path.parent.resolve() != folder or not _is_predicted(path)]
    if images and not left:
        raise UsageError(f"{out_dir}: only masks that 'ocuseg predict' wrote there were given; give images")
    return left


def _is_predicted(path: Path) -> bool:
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(path) as picture:  # `Image.open` has a limit of pixels
            return bool(picture.info.get("Software") == SOFTWARE)
    except (OSError, ValueError, SyntaxError):
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
