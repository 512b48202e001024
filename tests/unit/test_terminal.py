"""What a command shows while it works."""

from __future__ import annotations

import pytest

from ocuseg import terminal


def test_elsewhere_than_on_a_terminal_progress_is_a_line_every_ten_seconds_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now_s)
    with terminal.progress_bar("reading") as progress:
        for done in range(1, 26):  # an image a second
            now_s += 1
            progress(done, 25)
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["reading 10/25", "reading 20/25"]
    assert shown.out == ""
