"""The demonstration, from drawing to report, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import ocuseg
from ocuseg import cli, demonstration
from ocuseg.errors import OutputError
from ocuseg.evaluation.judgement import guess_dice
from ocuseg.phantom import draw_fundus
from ocuseg.phantom.texture import Phantom

COUNTS = {"train": 8, "val": 3, "test": 3}


def test_nobodys_own_images_are_drawn_over(tmp_path: Path) -> None:
    own = tmp_path / "data" / "training" / "images" / "img_0001.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"data: holds other files, so nothing is drawn there; give another folder"):
        ocuseg.demo(out=tmp_path)
    assert own.read_bytes() == b"mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]


@pytest.mark.slow
def test_it_goes_from_drawn_images_to_a_report_and_leaves_no_half_drawn_set(
    enough: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstration, "_COUNTS", COUNTS)

    monkeypatch.setattr("ocuseg.phantom.sets.draw_fundus", _stopping_after(5))
    with pytest.raises(KeyboardInterrupt):
        ocuseg.demo(out=tmp_path / "demo")
    monkeypatch.setattr("ocuseg.phantom.sets.draw_fundus", draw_fundus)
    drawn = tmp_path / "demo" / "data"
    assert list((tmp_path / "demo").iterdir()) == []

    shown = ocuseg.demo(out=tmp_path / "demo", overrides=enough)

    assert shown.data == drawn
    assert {name: len(list((drawn / name / "images").iterdir())) for name in ("training", "validation", "test")} == {
        "training": 8, "validation": 3, "test": 3,
    }  # fmt: skip
    (vessel,) = shown.evaluation.metrics["classes"]
    assert shown.evaluation.metrics["split"] == "test"
    assert vessel["dice"]["pooled"] > guess_dice(vessel["area"]["reference_share"]) + 0.1
    assert all(path.exists() for path in shown.paths)


def _stopping_after(count: int) -> Callable[[int, int], Phantom]:
    """Draw so many pictures, then stop."""
    made: list[int] = []

    def draw(seed: int, size: int) -> Phantom:
        if len(made) == count:
            raise KeyboardInterrupt
        made.append(seed)
        return draw_fundus(seed, size)

    return draw


@pytest.mark.parametrize(
    ("dead", "failures", "status"),
    [((), (), 0), (("vessel is dead",), (), 1), ((), ("test/images/a.png: cannot be read",), 1)],
)
def test_its_exit_status_is_that_of_its_scores(
    monkeypatch: pytest.MonkeyPatch, dead: tuple[str, ...], failures: tuple[str, ...], status: int
) -> None:
    evaluation = SimpleNamespace(metrics={}, dead=dead, failures=failures)
    shown = SimpleNamespace(evaluation=evaluation, paths=(Path("report.html"),))
    monkeypatch.setattr(demonstration, "demo", lambda *_, **__: shown)
    monkeypatch.setattr("ocuseg.reporting.scores_table", lambda *_, **__: "scores")
    answer = CliRunner().invoke(cli.app, ["demo"])
    assert answer.exit_code == status
    assert "wrote report.html" in answer.output
