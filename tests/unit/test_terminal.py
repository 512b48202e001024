"""What a command shows while it works."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ocuseg import terminal


def outcome(name: str, **facts: object) -> SimpleNamespace:
    values = {"error": None, "done_before": False, "flags": (), "measures": {}, "facts": None, "described": True}
    return SimpleNamespace(image=Path(name), **values | {"written": (Path("masks") / name,)} | facts)


def test_what_a_model_was_not_made_for_is_said_in_one_line_and_is_no_failure(capsys):
    cat = outcome("cat.jpg", flags=("paler", "less certain"))
    line, failed = terminal.show_outcomes(
        [outcome("eye.jpg"), cat, outcome("old.jpg", flags=cat.flags, done_before=True)], "masks"
    )
    assert capsys.readouterr() == (
        "",
        "ocuseg: cat.jpg: differs from the pictures that the model was made for (paler, less certain); "
        "do not trust its mask unseen\n",
    )
    assert (line, failed) == ("wrote 2 masks, areas.csv and measures.csv to masks, 1 already done", 0)


def test_a_mask_that_could_not_be_written_in_another_format_too_was_written(capsys):
    failed = outcome("a.jpg", error="a.jpg: is no DICOM file")
    assert terminal.show_outcomes([failed, outcome("b.jpg", error="b.jpg: is empty", written=())], "masks") == (
        "wrote 1 mask, areas.csv and measures.csv to masks, 2 failed",
        2,
    )


@pytest.mark.parametrize(("described", "tables"), [(True, "areas.csv and measures.csv"), (False, "areas.csv")])
def test_the_tables_that_were_written_are_named(described, tables):
    line, _ = terminal.show_outcomes([outcome("eye.jpg", described=described)], "masks")
    assert line == f"wrote 1 mask, {tables} to masks"


def test_of_one_image_the_measures_are_shown_and_of_more_they_are_not(capsys):
    eye = outcome("eye.jpg", measures={"vessel_density": 0.101234, "mean_width_px": None})
    terminal.show_outcomes([eye], "masks")
    assert capsys.readouterr().out == "vessel_density: 0.1012\nmean_width_px: undefined\n"
    terminal.show_outcomes([eye, eye], "masks")
    assert capsys.readouterr().out == ""


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
