"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from ocuseg.files import _umask, write_text


@pytest.mark.parametrize(
    "name",
    ["b" * 251 + ".png", "\N{CJK UNIFIED IDEOGRAPH-773C}" * 83 + ".csv", "eye.png"],
    ids=["ascii", "cjk", "short"],
)
def test_a_name_may_be_as_long_as_names_are(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "first")
    write_text(tmp_path / name, "second")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "second"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask there")
def test_two_threads_leave_the_rights_of_new_files_as_they_are() -> None:
    before = os.umask(0o022)
    seen: set[int] = set()
    until = time.monotonic() + 1

    def read() -> None:
        while time.monotonic() < until:
            seen.add(_umask())

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switching)
        after = os.umask(before)
    assert seen == {0o022}
    assert after == 0o022
