"""Write drawn pictures and their masks as folders that a data set could have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import yaml
from numpy.typing import NDArray

from ocuseg.classes import CLASSES_FILE, Classes, parse_classes
from ocuseg.errors import OutputError, UsageError
from ocuseg.files import make_folder, write_text, written_whole
from ocuseg.images import write_image, write_mask
from ocuseg.phantom.eye import draw_eye, eye_classes
from ocuseg.phantom.fundus import draw_fundus
from ocuseg.phantom.lens import draw_retro, retro_classes
from ocuseg.phantom.surgery import draw_surgery, surgery_classes
from ocuseg.phantom.texture import Phantom

__all__ = ["write_eye_set", "write_fundus_set", "write_retro_set", "write_surgery_set"]

_COUNTS = MappingProxyType({"train": 40, "val": 8, "test": 12})
_SEEDS_PER_SET = 1_000_000

Progress = Callable[[int, int], None]


def write_fundus_set(
    folder: Path | str,
    counts: Mapping[str, int] = _COUNTS,
    seed: int = 0,
    size: int | tuple[int, int] = 320,
    progress: Progress | None = None,
    *,
    diseased: float = 0.0,
) -> Path:
    """Return `folder` filled with drawn fundus photographs in the `retina` layout, their fields of view and classes.

    `counts` says how many pictures each split gets; no picture is in two. `progress` is called with how many are
    done and how many there are. About the share `diseased` of them (0 to 1) is of diseased eyes. Raises UsageError for
    an unknown split, a negative count and a share outside its range, and OutputError where the folder holds pictures
    that are not of this set.
    """
    if not 0 <= diseased <= 1:
        raise UsageError(f"diseased is {diseased}; give a share from 0 to 1")

    def some_diseased(own_seed: int, size: int | tuple[int, int]) -> Phantom:
        return draw_fundus(own_seed, size, diseased=np.random.default_rng((own_seed, 0xD2)).random() < diseased)

    root = make_folder(folder)
    classes = parse_classes([{"id": 0, "name": "background"}, {"id": 1, "name": "vessel", "colour": "#56b4e9"}])
    draw = some_diseased if diseased else draw_fundus
    for (image, mask, field_of_view), drawn in _drawn(draw, root, _retina_files, counts, seed, size, progress):
        write_image(image, drawn.image)
        write_mask(mask, drawn.mask, classes)
        _write_field_of_view(field_of_view, drawn.field_of_view)
    _write_classes(root, classes)  # last: a folder with it was drawn to its end
    return root


def write_eye_set(
    folder: Path | str,
    counts: Mapping[str, int] = _COUNTS,
    seed: int = 0,
    size: int | tuple[int, int] = 256,
    progress: Progress | None = None,
) -> Path:
    """Return `folder` filled with drawn eyes in the `cataract` layout, `image1.png` with `mask1.png`, and classes.

    Arguments and errors are those of `write_fundus_set`.
    """
    return _write_cataract_layout(folder, draw_eye, eye_classes(), counts, seed, size, progress)


def write_surgery_set(
    folder: Path | str,
    counts: Mapping[str, int] = _COUNTS,
    seed: int = 0,
    size: int | tuple[int, int] = (288, 384),
    progress: Progress | None = None,
) -> Path:
    """Return `folder` filled with drawn frames of cataract surgery, laid out as by `write_eye_set`.

    Arguments and errors are those of `write_fundus_set`.
    """
    return _write_cataract_layout(folder, draw_surgery, surgery_classes(), counts, seed, size, progress)


def write_retro_set(
    folder: Path | str,
    counts: Mapping[str, int] = _COUNTS,
    seed: int = 0,
    size: int | tuple[int, int] = (256, 384),
    progress: Progress | None = None,
) -> Path:
    """Return `folder` filled with drawn retro-illumination photographs of the lens, laid out as by `write_eye_set`.

    Arguments and errors are those of `write_fundus_set`.
    """
    return _write_cataract_layout(folder, draw_retro, retro_classes(), counts, seed, size, progress)


def _write_cataract_layout(
    folder: Path | str,
    draw: Callable[[int, int | tuple[int, int]], Phantom],
    classes: Classes,
    counts: Mapping[str, int],
    seed: int,
    size: int | tuple[int, int],
    progress: Progress | None,
) -> Path:
    root = make_folder(folder)
    for (image, mask), drawn in _drawn(draw, root, _cataract_files, counts, seed, size, progress):
        write_image(image, drawn.image)
        write_mask(mask, drawn.mask, classes)
    _write_classes(root, classes)  # last: a folder with it was drawn to its end
    return root


def _retina_files(root: Path, split: str, number: int) -> tuple[Path, ...]:
    place, name = root / {"train": "training", "val": "validation", "test": "test"}[split], f"img_{number:04d}"
    return (
        place / "images" / f"{name}.png",
        place / "masks" / f"{name}_mask.png",
        place / "field_of_view" / f"{name}.png",
    )


def _cataract_files(root: Path, split: str, number: int) -> tuple[Path, ...]:
    return root / split / "images" / f"image{number}.png", root / split / "masks" / f"mask{number}.png"


def _drawn(
    draw: Callable[[int, int | tuple[int, int]], Phantom],
    root: Path,
    files_of: Callable[[Path, str, int], tuple[Path, ...]],
    counts: Mapping[str, int],
    seed: int,
    size: int | tuple[int, int],
    progress: Progress | None,
) -> Iterator[tuple[tuple[Path, ...], Phantom]]:
    for split, count in counts.items():
        if split not in _COUNTS:
            raise UsageError(f"counts: unknown split {split!r}; accepted are {', '.join(_COUNTS)}")
        if count < 0:
            raise UsageError(f"counts: {split} is {count}; give 0 or more pictures")
    order = [split for split, count in counts.items() for _ in range(count)]
    files = [files_of(root, split, number) for number, split in enumerate(order, start=1)]
    _require_no_others(
        root, {path for paths in files for path in paths}, {files_of(root, s, 1)[0].parents[1] for s in _COUNTS}
    )
    (root / CLASSES_FILE).unlink(missing_ok=True)
    for number, paths in enumerate(files, start=1):
        for path in paths:
            make_folder(path.parent)
        yield paths, draw(seed * _SEEDS_PER_SET + number, size)
        if progress is not None:
            progress(number, len(order))


def _require_no_others(root: Path, wanted: set[Path], splits: set[Path]) -> None:
    """Raise OutputError where the splits hold a file that is not of the set: of another one, or somebody's own."""
    for path in sorted(path for split in splits for path in split.rglob("*")):
        if path not in wanted and path.is_file() and not path.name.startswith("."):
            raise OutputError(f"{root}: holds {path.relative_to(root)}, which is not of this set; give another folder")


def _write_classes(root: Path, classes: Classes) -> None:
    write_text(root / CLASSES_FILE, yaml.safe_dump(classes.to_list(), sort_keys=False))


def _write_field_of_view(path: Path, field_of_view: NDArray[np.bool_]) -> None:
    from PIL import Image

    with written_whole(path) as temporary:
        Image.fromarray(field_of_view.astype(np.uint8) * 255).save(temporary, format="PNG")
