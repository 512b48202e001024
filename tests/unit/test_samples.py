from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError
from ocuseg.geometry import Preprocessing
from ocuseg.index import Record
from ocuseg.training import samples as module
from ocuseg.training.cache import ArrayCache
from ocuseg.training.samples import Sample, load_samples

ENCODING = MaskEncoding("values", ((0, 0), (128, 1), (255, 9)))
SMALL = Preprocessing(size=(40, 32))


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Four images 48 x 36 with masks of 0, 128 and 255, two of them with a field of view."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(4):
        paths = [tmp_path / "data" / f"{kind}{number}.png" for kind in ("image", "mask", "view")]
        paths[0].parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 36, 3), np.uint8)).save(paths[0])
        Image.fromarray(rng.choice([0, 128, 255], (48, 36)).astype(np.uint8)).save(paths[1])
        Image.fromarray((rng.random((48, 36)) < 0.7).astype(np.uint8) * 255).save(paths[2])
        view = paths[2] if number % 2 else None
        made.append(Record(name=str(number), image=paths[0], mask=paths[1], field_of_view=view))
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Callable[[], ArrayCache]:
    """A function that opens one folder anew, as each run does."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return lambda: ArrayCache(folder)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were decoded."""
    paths: list[Path] = []
    read = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: (paths.append(path), read(path))[1])
    return paths


def _load(records: list[Record], cache: ArrayCache | None = None, **changes: Any) -> list[Sample]:
    settings: dict[str, Any] = {"encoding": ENCODING, "preprocessing": SMALL, "ignore_index": 9, **changes}
    return load_samples(records, cache=cache, **settings)


def _same(first: list[Sample], second: list[Sample]) -> bool:
    return all(
        a.name == b.name
        and all(
            getattr(a, part).dtype == getattr(b, part).dtype and np.array_equal(getattr(a, part), getattr(b, part))
            for part in ("image", "target", "counted")
        )
        for a, b in zip(first, second, strict=True)
    )


def test_the_samples_are_the_same_decoded_kept_and_found(
    records: list[Record], cache: Callable[[], ArrayCache], decoded: list[Path]
) -> None:
    plain = _load(records)
    assert {sample.image.shape for sample in plain} == {(40, 32, 3)}
    assert set(np.unique([sample.target for sample in plain])) == {0, 1}
    assert 0.4 < np.mean([sample.counted for sample in plain]) < 0.7
    assert len(decoded) == 4
    assert _same(plain, _load(records, cache()))
    assert len(decoded) == 8
    assert _same(plain, _load(records, cache()))
    assert len(decoded) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing": Preprocessing(size=(32, 40))},
        {"preprocessing": Preprocessing(crop="field_of_view", size=(40, 32))},
        {"preprocessing": Preprocessing(field_of_view_diameter_px=36)},
        {"preprocessing": Preprocessing(even_light=0.1)},
        {"preprocessing": Preprocessing(channel="green")},
        {"preprocessing": Preprocessing(field_of_view_diameter_px=36), "vessel_width_px": 3.0},
        {"ignore_index": None},
        {"encoding": MaskEncoding("values", ((0, 0), (128, 9), (255, 1)))},
    ],
)
def test_other_settings_make_other_samples(
    changes: dict[str, Any], records: list[Record], cache: Callable[[], ArrayCache], decoded: list[Path]
) -> None:
    _load(records, cache())
    assert _same(_load(records, cache(), **changes), _load(records, **changes))
    assert len(decoded) == 12


def test_what_does_not_change_the_pixels_decodes_nothing_anew(
    records: list[Record], cache: Callable[[], ArrayCache], decoded: list[Path]
) -> None:
    _load(records, cache())
    _load(records, cache(), preprocessing=Preprocessing(size=(40, 32), mean=(0.1, 0.2, 0.3), multiple=8))
    assert len(decoded) == 4


@pytest.mark.parametrize("kind", ["image", "mask", "field_of_view"])
def test_other_content_under_the_same_name_is_decoded(
    kind: str, records: list[Record], cache: Callable[[], ArrayCache], decoded: list[Path]
) -> None:
    _load(records, cache())
    path = getattr(records[1], kind)
    before = path.stat()
    Image.fromarray(np.asarray(Image.open(path))[::-1]).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert _same(_load(records, cache()), _load(records))
    assert decoded[4] == records[1].image
    assert len(decoded) == 9  # one anew, and four without the cache


def test_the_same_files_elsewhere_are_known(
    records: list[Record], cache: Callable[[], ArrayCache], decoded: list[Path], tmp_path: Path
) -> None:
    _load(records, cache())
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = [
        Record(
            name="another name",
            image=tmp_path / "moved" / record.image.name,
            mask=tmp_path / "moved" / record.mask.name,
            field_of_view=None if record.field_of_view is None else tmp_path / "moved" / record.field_of_view.name,
        )
        for record in records
        if record.mask is not None
    ]
    assert [sample.name for sample in _load(moved, cache())] == ["another name"] * 4
    assert len(decoded) == 4


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    records: list[Record], cache: Callable[[], ArrayCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module.read_image

    def change_and_read(path: Path) -> np.ndarray:
        Image.fromarray(np.zeros((48, 36, 3), np.uint8)).save(path)
        return read(path)

    monkeypatch.setattr(module, "read_image", change_and_read)
    before = records[0].image.read_bytes()
    _load(records[:1], cache())
    records[0].image.write_bytes(before)
    monkeypatch.setattr(module, "read_image", read)
    assert _same(_load(records[:1], cache()), _load(records[:1]))


def test_progress_and_errors_are_those_without_a_cache(records: list[Record], cache: Callable[[], ArrayCache]) -> None:
    calls: list[tuple[int, int]] = []
    _load(records, cache(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    without = Record(name="x", image=records[0].image)
    with pytest.raises(DataError, match=r"image0\.png: has no mask"):
        _load([without], cache())
    records[2].image.unlink()
    with pytest.raises(DataError, match=r"image2\.png"):
        _load(records, cache())


def test_the_key_knows_all_code_that_makes_a_sample() -> None:
    code = "import sys, ocuseg.images, ocuseg.geometry, ocuseg.encoding; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    loaded = [name for name in loaded if name.startswith("ocuseg.")]
    known = {name.removesuffix(".py") for name in module._SOURCES} | {"errors", "files", "classes", "findings"}
    assert {name.split(".")[1] for name in loaded} - known == set()
    assert all((Path(module.__file__).parents[1] / name).exists() for name in module._SOURCES)
