import numpy as np
import pytest
from PIL import Image

from ocuseg.errors import DataError, OutputError
from ocuseg.reporting.plots import draw_confusion, draw_curves, draw_thresholds

ROWS = [
    {"epoch": str(epoch), "learning_rate": "0.001", "train_loss": f"{1 / epoch}", "val_loss": "", "val_dice": "0.5"}
    for epoch in (1, 2, 3)
]


def ink(path, darker_than=250):
    """The share of pixels that are not white; the picture has to be one that can be read."""
    with Image.open(path) as picture:
        return float((np.asarray(picture.convert("L")) < darker_than).mean())


def width(path):
    with Image.open(path) as picture:
        return picture.width


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [{"epoch": 1, "val_loss": float("nan"), "train_loss": 1.0}]])
def test_curves_of_rows(tmp_path, rows):
    assert ink(draw_curves(rows, tmp_path / "curves.png")) > 0.005


def test_curves_of_a_file_have_a_panel_for_each_kind(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,train_loss,val_loss,time_s\n1,2,3,9\n2,1,2,9\n", encoding="utf-8")
    narrow = draw_curves(history, tmp_path / "narrow.png")
    wide = draw_curves(ROWS, tmp_path / "wide.png")
    assert width(wide) == pytest.approx(3 * width(narrow), abs=3)


def test_the_epoch_that_is_kept_is_the_one_marked(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    marks, names = [], []
    line, note = Axes.axvline, Axes.annotate
    monkeypatch.setattr(Axes, "axvline", lambda axes, x, **style: marks.append(x) or line(axes, x, **style))
    monkeypatch.setattr(
        Axes, "annotate", lambda axes, text, *place, **style: names.append(text) or note(axes, text, *place, **style)
    )
    scores = zip((1, 2, 3, 4), (0.5, 0.4, 0.6, 0.7), (0.2, 0.8, 0.8, 0.1), strict=True)
    rows = [{"epoch": epoch, "val_loss": loss, "val_dice": dice, "learning_rate": 1e-3} for epoch, loss, dice in scores]
    for monitor, epoch, name in (
        ("val_loss", 2, "best val loss: 0.4, epoch 2"),
        ("val_dice", 2, "best val dice: 0.8, epoch 2"),
    ):
        draw_curves(rows, tmp_path / "curves.png", monitor)
        assert (marks, names) == ([epoch, epoch], [name])  # in the panel of the loss and in that of the scores
        marks.clear()
        names.clear()
    rows[1]["val_dice"] = ""  # as where a cell is empty
    draw_curves(rows, tmp_path / "curves.png", "val_dice")
    assert marks == [3, 3]


def test_a_history_without_an_epoch_or_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,train_loss\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no epoch"):
        draw_curves(tmp_path / "history.csv", tmp_path / "curves.png")
    with pytest.raises(DataError, match="cannot be read as a history"):
        draw_curves(tmp_path / "none.csv", tmp_path / "curves.png")
    with pytest.raises(OutputError):
        draw_curves(ROWS, tmp_path / "none" / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_thresholds_and_their_marks(tmp_path):
    curves = {"Dice": np.array([0.2, 0.8, np.nan])}
    plain = draw_thresholds([0.1, 0.5, 0.9], curves, tmp_path / "plain.png", title="t")
    marked = draw_thresholds([0.1, 0.5, 0.9], curves, tmp_path / "marked.png", title="t", chosen=0.4, best=0.5)
    assert 0 < ink(plain, 90) < ink(marked, 90) - 0.001


def test_a_class_without_reference_has_no_shares(tmp_path):
    confusion = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert ink(draw_confusion(confusion, ["a", "b", "c"], tmp_path / "confusion.png")) > 0.05


def test_no_global_state_of_matplotlib_is_touched():
    import subprocess
    import sys

    code = "import ocuseg.reporting.plots, sys; assert not any(name.startswith('matplotlib') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
