"""How far a run is: a table on disk, lines and a bar on the terminal."""

from __future__ import annotations

import csv
import io
import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ocuseg.files import write_text
from ocuseg.training.module import our_module

__all__ = ["History", "ProgressLines"]

_log = logging.getLogger("ocuseg")


class History(Callback):
    """Writes `history.csv`: one row per epoch, whole after each, continued and never restarted by a resumed run."""

    SCORES = ("train_loss", "val_loss", "val_dice", "val_iou", "val_foreground_share")
    FIELDS = ("epoch", "learning_rate", *SCORES, "time_s")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the rows of the epochs that the checkpoint knows."""
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= trainer.current_epoch]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch's row."""
        metrics = trainer.callback_metrics
        row = {"epoch": str(trainer.current_epoch + 1), "time_s": f"{time.perf_counter() - self._started:.2f}"}
        row["learning_rate"] = f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}"
        for key in self.SCORES:
            if key in metrics:
                row[key] = f"{float(metrics[key]):.6f}"
        self._rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.path, text.getvalue())
        for logger in trainer.loggers:
            logger.log_metrics({"learning_rate": float(row["learning_rate"])}, step=trainer.global_step)


class ProgressLines(Callback):
    """Tells how far a run is: a bar with the time left on a terminal, one plain line per epoch everywhere."""

    def __init__(self, *, bar: bool) -> None:
        self._bar = bar
        self._progress: Progress | None = None
        self._started = 0.0
        self._first_step = 0
        self._images = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock at the step that the run resumes from."""
        self._started = time.perf_counter()
        self._first_step = trainer.global_step
        if self._bar:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            self._progress = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
            self._progress.add_task("training", total=our_module(pl_module).total_steps, completed=trainer.global_step)
            self._progress.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Move the bar."""
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's line."""
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        done = trainer.global_step - self._first_step
        to_do = our_module(pl_module).total_steps - trainer.global_step
        left = to_do * (time.perf_counter() - self._started) / max(1, done)
        line = (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {metrics['train_loss']:.4f}  "
            f"val_loss {metrics['val_loss']:.4f}  val_dice {metrics['val_dice']:.4f}  "
            f"left {int(left) // 60}:{int(left) % 60:02d}"
        )
        if metrics["val_foreground_share"] in (0.0, 1.0):
            only = "background" if metrics["val_foreground_share"] == 0.0 else "foreground"
            line += f"  ! predicts {only} only so far"
        _log.info(line)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave a clean terminal."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
