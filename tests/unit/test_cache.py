from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ocuseg.errors import OutputError, UsageError
from ocuseg.training import cache as module
from ocuseg.training.cache import ArrayCache, cache_folder, empty_cache, open_cache

KEYS = [f"{number:064x}" for number in range(10)]
BYTES = 12 + 128 + 4  # of the array below, NumPy's header and the checksum


def _array(value: int = 0) -> np.ndarray:
    return np.arange(value, value + 12, dtype=np.uint8).reshape(2, 2, 3)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_put_is_found_by_others_and_by_numpy(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    assert cache.get(KEYS[0]) is None
    assert np.array_equal(cache.put(KEYS[0], _array(5)), _array(5))
    assert np.array_equal(ArrayCache(tmp_path).get(KEYS[0]), _array(5))
    assert ArrayCache(tmp_path).get(KEYS[1]) is None
    assert np.array_equal(np.load(tmp_path / f"{KEYS[0]}.npy"), _array(5))
    assert _names(tmp_path) == [f"{KEYS[0]}.npy"]
    assert (tmp_path / f"{KEYS[0]}.npy").stat().st_size == BYTES


def test_what_is_written_into_an_array_stays_here(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEYS[0], _array())[:] = 99
    found = cache.get(KEYS[0])
    assert np.array_equal(found, _array())


def test_a_file_is_replaced_and_never_changed(tmp_path: Path) -> None:
    ArrayCache(tmp_path).put(KEYS[0], _array(1))
    held = ArrayCache(tmp_path).get(KEYS[0])
    ArrayCache(tmp_path).put(KEYS[0], _array(2))
    assert np.array_equal(held, _array(1))
    assert np.array_equal(ArrayCache(tmp_path).get(KEYS[0]), _array(2))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the open files of a process")
def test_arrays_are_mapped_and_hold_no_file_open(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = [cache.put(key, _array()) for key in KEYS]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert Path("/proc/self/maps").read_text().count(str(tmp_path)) == len(held)


def test_arrays_beyond_the_most_maps_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_MAPS", 1)
    cache = ArrayCache(tmp_path)
    held = [cache.put(key, _array(number)) for number, key in enumerate(KEYS)]
    assert all(np.array_equal(array, _array(number)) for number, array in enumerate(held))
    if Path("/proc/self/maps").exists():
        assert Path("/proc/self/maps").read_text().count(str(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["a bit", "the checksum", "the header", "cut", "empty", "longer", "zeros"])
def test_a_damaged_array_is_said_and_replaced(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"{KEYS[0]}.npy"
    ArrayCache(tmp_path).put(KEYS[0], _array())
    content = bytearray(path.read_bytes())
    places = {"a bit": 135, "the checksum": BYTES - 1, "the header": 3}
    if damage in places:
        content[places[damage]] ^= 1
    content = {"cut": content[:-6], "empty": b"", "longer": content + b"x", "zeros": bytes(BYTES)}.get(damage, content)
    path.write_bytes(content)
    cache = ArrayCache(tmp_path)
    with caplog.at_level(logging.WARNING, "ocuseg"):
        assert cache.get(KEYS[0]) is None
    assert str(path) in caplog.text
    assert "decoded anew" in caplog.text
    cache.put(KEYS[0], _array())
    assert np.array_equal(ArrayCache(tmp_path).get(KEYS[0]), _array())


def test_the_least_recently_used_give_way(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 3 * BYTES)
    for age, key in enumerate(KEYS[:3]):
        cache.put(key, _array())
        os.utime(tmp_path / f"{key}.npy", (1000 + age, 1000 + age))
    ArrayCache(tmp_path).get(KEYS[0])  # which makes KEYS[1] the oldest
    cache = ArrayCache(tmp_path, 3 * BYTES)
    cache.put(KEYS[5], _array())
    assert _names(tmp_path) == [f"{KEYS[number]}.npy" for number in (0, 2, 5)]
    cache.put(KEYS[6], _array())
    assert _names(tmp_path) == [f"{KEYS[number]}.npy" for number in (0, 5, 6)]


def test_what_is_kept_does_not_give_way(tmp_path: Path) -> None:
    """Else a set larger than the limit would throw out, one by one, just what it asks for next."""
    limit = 3 * BYTES
    for _ in range(3):
        cache = ArrayCache(tmp_path, limit)
        cache.keep(KEYS[:5])
        known = []
        for key in KEYS[:5]:
            known.append(cache.get(key) is not None)
            assert np.array_equal(cache.put(key, _array()) if not known[-1] else _array(), _array())
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit
    assert known == [True, True, True, False, False]


def test_an_array_above_the_limit_throws_nothing_out(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 2 * BYTES)
    cache.put(KEYS[0], _array())
    cache = ArrayCache(tmp_path, 2 * BYTES)
    large = np.zeros(3 * BYTES, np.uint8)
    assert cache.put(KEYS[1], large) is large
    assert _names(tmp_path) == [f"{KEYS[0]}.npy"]


def test_by_default_no_more_than_half_of_the_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ArrayCache(tmp_path).put(KEYS[0], _array())
    usage = module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    assert ArrayCache(tmp_path).limit_bytes == (1000 + BYTES) // 2
    usage = usage._replace(free=10**15)
    assert ArrayCache(tmp_path).limit_bytes == 10_000_000_000


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    cache = ArrayCache(folder)
    folder.rmdir()
    with caplog.at_level(logging.WARNING, "ocuseg"):
        arrays = [cache.put(key, _array()) for key in KEYS]
    assert all(np.array_equal(array, _array()) for array in arrays)
    assert caplog.text.count("cannot be kept there") == 1


DIE = """
import os, sys, numpy as np
from pathlib import Path
from ocuseg.training.cache import ArrayCache
cache = ArrayCache(Path(sys.argv[1]))
np.save = lambda file, array: (file.write(b"half"), file.flush(), os._exit(9))
cache.put("0" * 64, np.zeros(100, np.uint8))
"""


def test_a_process_that_dies_half_way_leaves_nothing_to_be_read(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIE, str(tmp_path)], check=False)
    assert died.returncode == 9
    (half,) = tmp_path.iterdir()
    assert half.read_bytes() == b"half"
    cache = ArrayCache(tmp_path)
    assert cache.get("0" * 64) is None
    assert half.exists()  # it may be the work of a process that goes on
    os.utime(half, (0, 0))
    ArrayCache(tmp_path)
    assert not half.exists()


BUILD = """
import sys, numpy as np
from pathlib import Path
from ocuseg.training.cache import ArrayCache
cache = ArrayCache(Path(sys.argv[1]))
sys.stdin.readline()
for turn in range(30):
    for number in range(10):
        expected = np.full(50_000, number, np.uint8)
        key = f"{number:064x}"
        found = cache.get(key)
        if found is None or turn % 3 == 0:
            found = cache.put(key, expected)
        assert np.array_equal(found, expected)
"""


def test_processes_that_build_at_once_read_nothing_half_written(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BUILD, str(tmp_path)]
    builders = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [builder.communicate("go\n")[1] for builder in builders]
    assert errors == ["", ""]  # no damage was said
    assert _names(tmp_path) == [f"{key}.npy" for key in KEYS]


def test_the_folder_is_the_users_alone_and_outside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "user" / "ocuseg" / "samples")
    cache = open_cache("on", data)
    assert cache is not None
    assert cache.folder == tmp_path / "user" / "ocuseg" / "samples"
    cache.put(KEYS[0], _array())
    if os.name == "posix":
        assert cache.folder.stat().st_mode & 0o777 == 0o700
        assert (cache.folder / f"{KEYS[0]}.npy").stat().st_mode & 0o777 == 0o600
    assert open_cache("off", data) is None
    own = open_cache(tmp_path / "own", data)
    assert own is not None
    assert own.folder == tmp_path / "own"
    for inside in (data, data / "images" / "cache"):
        with pytest.raises(UsageError, match="lies in the data folder"):
            open_cache(inside, data)


def test_a_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.cache: cannot be made as a folder"):
        open_cache(tmp_path / "file" / "cache", tmp_path / "data")
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING, "ocuseg"):
        assert open_cache("on", tmp_path / "data") is None
    assert "decoded images are not kept" in caplog.text


def test_the_default_folder_is_named_after_the_program() -> None:
    assert cache_folder().parts[-2:] == ("ocuseg", "samples") or "ocuseg" in cache_folder().parts


def test_emptying_deletes_the_arrays_alone(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    for key in KEYS[:2]:
        cache.put(key, _array())
    others = [tmp_path / name for name in ("mine.npy", "notes.txt", ".mine.tmp", f"{'g' * 64}.npy")]
    for path in others:
        path.write_text("mine")
    half = tmp_path / f".{KEYS[3]}.x.tmp"
    half.write_text("half")
    assert empty_cache(tmp_path, clear=False) == module.CacheContents(tmp_path, 2, 2 * BYTES)
    assert len(_names(tmp_path)) == 7
    assert empty_cache(tmp_path, clear=True) == module.CacheContents(tmp_path, 2, 2 * BYTES)
    assert _names(tmp_path) == sorted(path.name for path in others)
    assert empty_cache(tmp_path / "absent", clear=True).arrays == 0
