"""What a run keeps of its images for the next one, and that it changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import ocuseg
from ocuseg.errors import UsageError
from ocuseg.training import samples
from ocuseg.training.run import Run

Train = Callable[..., Run]
Differences = Callable[[Path, Path], list[str]]


def test_a_run_is_the_same_without_a_cache_with_an_empty_and_with_a_full_one(
    train_only: Train, differences: Differences, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cache = tmp_path / "cache"
    with caplog.at_level(logging.INFO, "ocuseg"):
        without = train_only(tmp_path / "without", "epochs=2", cache="off")
        assert "decoded before" not in caplog.text
        first = train_only(tmp_path / "first", "epochs=2", cache=cache)
        assert f"0 of 11 images were decoded before; what is decoded is in {cache}" in caplog.text
        monkeypatch.setattr(samples, "read_image", None)  # nothing may be decoded again
        second = train_only(tmp_path / "second", "epochs=2", cache=cache)
        assert "11 of 11 images were decoded before" in caplog.text
    assert differences(without.folder, first.folder) == []
    assert differences(without.folder, second.folder) == []
    assert ocuseg.cache(cache).arrays == 11
    assert ocuseg.cache(cache, clear=True).bytes > 11 * 5 * 64 * 64
    assert ocuseg.cache(cache).arrays == 0


def test_a_cache_among_the_data_is_refused_before_anything_is_written(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies in the data folder"):
        ocuseg.train(drawn, "retina-unet256", out=tmp_path / "run", cache=drawn / "cache")
    assert not (drawn / "cache").exists()
    assert not (tmp_path / "run").exists()
