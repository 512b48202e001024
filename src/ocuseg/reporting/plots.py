"""Curves and tables of numbers to PNG pictures."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import DataError
from ocuseg.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_confusion", "draw_curves", "draw_thresholds"]

# Okabe & Ito's colours that are dark enough for lines on white.
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b5b5b")
_INK = "#333333"
_DPI = 144
_MOST_MARKED = 40


def draw_curves(history: Path | str | Sequence[Mapping[str, Any]], path: Path | str, monitor: str = "val_loss") -> Path:
    """Draw loss, scores and learning rate per epoch as PNG to `path`, whole or not at all, and return the path.

    `history` is a `history.csv` or its rows. Columns that end in `loss` share a panel, `learning_rate` has its own;
    other columns are scores from 0 to 1 (`time_s` is left out). Cells may be empty. The epoch that is best by the
    column `monitor` is marked in both, and named in its panel. Raises DataError without an epoch.
    """
    from matplotlib.ticker import MaxNLocator

    rows = _read_history(Path(history)) if isinstance(history, Path | str) else list(history)
    if not rows:
        raise DataError(f"{path}: cannot be drawn, the history holds no epoch; train for at least one")
    epochs = [_float(row.get("epoch")) for row in rows]
    names = [name for name in rows[0] if name not in ("epoch", "step", "time_s")]
    losses = [name for name in names if name.endswith("loss")]
    rates = [name for name in names if name == "learning_rate"]
    scores = [name for name in names if name not in losses and name not in rates]
    panels = [
        (title, chosen) for title, chosen in (("loss", losses), ("score", scores), ("learning rate", rates)) if chosen
    ]
    figure = _figure(4.2 * len(panels), 3.4)
    for position, (title, chosen) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), position)
        for index, name in enumerate(chosen):
            values = [_float(row.get(name)) for row in rows]
            if np.isfinite(values).any():
                label = name.replace("_", " ")
                axes.plot(epochs, values, label=label, color=_LINES[index % len(_LINES)], **_line(epochs, values))
        _style(axes, title, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title == "score":
            axes.set_ylim(-0.02, 1.02)
        if title != "learning rate":
            _mark_best(axes, rows, epochs, monitor, named=monitor in chosen)
        if len(chosen) > 1 and axes.lines:
            axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    return _save(figure, path)


def draw_thresholds(
    thresholds: Sequence[float],
    curves: Mapping[str, NDArray[np.float64]],
    path: Path | str,
    *,
    title: str,
    chosen: float | None = None,
    best: float | None = None,
) -> Path:
    """Draw scores (T,) against the threshold as PNG to `path` and return it; `chosen` and `best` are marked."""
    figure = _figure(6.4, 3.8)
    axes = figure.add_subplot()
    for index, (name, values) in enumerate(curves.items()):
        axes.plot(thresholds, values, label=name, color=_LINES[index % len(_LINES)], linewidth=2 if index == 0 else 1.4)
    if chosen is not None:
        axes.axvline(chosen, color=_INK, linewidth=1, label=f"used: {chosen:.3g}")
    if best is not None:
        axes.axvline(best, color=_INK, linewidth=1, linestyle=(0, (2, 3)), label=f"best here: {best:.2f}")
    _style(axes, title, "threshold on the probability")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _save(figure, path)


def draw_confusion(confusion: NDArray[np.int64], names: Sequence[str], path: Path | str) -> Path:
    """Draw the share of each reference class (row) that got each predicted class (column) as PNG to `path`.

    `confusion` (C, C) are pixels; below each share, in percent of the row, stands their number in short (12k, 3.4M).
    """
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.full(confusion.shape, np.nan), where=totals > 0)
    side = max(3.4, 1.6 + 0.66 * len(names))
    figure = _figure(side + 0.6, side)
    axes = figure.add_subplot()
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            share = shares[row, column]
            text = "–" if np.isnan(share) else f"{100 * share:.1f}"
            ink = "white" if share > 0.5 else _INK
            axes.text(column, row, text, ha="center", va="bottom", fontsize=8, color=ink)
            axes.text(column, row + 0.06, _short(confusion[row, column]), ha="center", va="top", fontsize=6, color=ink)
    _style(axes, "% of each reference class, and pixels", "predicted as")
    axes.set_ylabel("reference", fontsize=9, color=_INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(length=0)
    return _save(figure, path)


def _short(pixels: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if pixels >= size:
            return f"{pixels / size:.{0 if pixels >= 100 * size else 1}f}{unit}"
    return str(int(pixels))


def _read_history(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a history ({reason}); give a run's history.csv") from error


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _line(epochs: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    """A single point has no line, and gaps hide lone points: few epochs are marked."""
    marked = len(epochs) <= _MOST_MARKED or np.isnan(values).any()
    return {"linewidth": 1.6, "marker": "o" if marked else None, "markersize": 3}


def _mark_best(
    axes: Axes, rows: Sequence[Mapping[str, Any]], epochs: Sequence[float], monitor: str, *, named: bool
) -> None:
    values = np.array([_float(row.get(monitor)) for row in rows])
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmin(values) if monitor.endswith("loss") else np.nanargmax(values))  # the first, as kept
    axes.axvline(epochs[best], color=_INK, linewidth=0.8, linestyle=(0, (2, 3)))
    if named:
        axes.annotate(
            f"best {monitor.replace('_', ' ')}: {values[best]:.4g}, epoch {epochs[best]:.0f}",
            (0.98, 0.98), xycoords="axes fraction", ha="right", va="top", fontsize=8, color=_INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    return Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")


def _style(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.set_xlabel(x_label, fontsize=9, color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color("#999999")


def _save(figure: Figure, path: Path | str) -> Path:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    # A class may be called by dollar signs, between which matplotlib would look for a formula.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with rc_context({"text.parse_math": False}), written_whole(path) as temporary:
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png")
    return Path(path)
