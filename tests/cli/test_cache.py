"""The command that shows and deletes what training keeps of decoded images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocuseg.training import cache as module
from ocuseg.training.cache import ArrayCache

KEY = "ab" * 32


def test_cache_shows_and_deletes(tmp_path: Path, ocuseg) -> None:
    ArrayCache(tmp_path).put(KEY, np.zeros(2_000_000, np.uint8))
    assert ocuseg(f"cache {tmp_path}").out == f"{tmp_path}: 1 images, 2.0 MB\n"
    assert ocuseg(f"cache {tmp_path} --clear").out == f"{tmp_path}: 1 images, 2.0 MB, deleted\n"
    answer = ocuseg(f"cache {tmp_path}")
    assert (answer.status, answer.out, answer.err) == (0, f"{tmp_path}: 0 images, 0.0 MB\n", "")


def test_without_a_folder_it_is_the_users_own(tmp_path: Path, ocuseg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "own")
    assert ocuseg("cache").out == f"{tmp_path / 'own'}: 0 images, 0.0 MB\n"


def test_a_cache_among_the_data_is_wrong_use(world: Path, ocuseg) -> None:
    answer = ocuseg("train data --cache data/cache --out new")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("ocuseg: data/cache: lies in the data folder; give another folder for decoded images")
    assert not (world / "new").exists()
