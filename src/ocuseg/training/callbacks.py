"""What happens around the epochs of a run: checkpoints, history, schedule, progress."""

from __future__ import annotations

import csv
import io
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint, WeightAveraging
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from ocuseg.errors import ModelError, OutputError
from ocuseg.files import make_folder, write_text, written_whole
from ocuseg.training.module import SegmentationModule

__all__ = [
    "BestAndLast",
    "EpochWeights",
    "History",
    "ProgressLines",
    "ReduceOnPlateau",
    "WarmedAveraging",
    "WholeCheckpoints",
    "read_checkpoint",
]

_log = logging.getLogger("ocuseg")


def read_checkpoint(path: Path | str, device: str = "cpu") -> dict[str, Any]:
    """Return a checkpoint's content, plain types and tensors only; nothing in it is executed.

    Raises ModelError where the file is missing, damaged, or holds anything else.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: does not exist yet; go on with 'ocuseg train --resume RUN'") from error
    except Exception as error:  # torch raises half a dozen types for damaged files
        reason = (
            "it holds more than plain types" if "Weights only" in str(error) else re.split(r"\n|\. ", str(error))[0]
        )
        raise ModelError(f"{path}: is not a usable checkpoint ({reason}); train again or use another one") from error
    return content


class WholeCheckpoints(CheckpointIO):
    """Checkpoints that are written whole or not at all, and read without executing anything."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside the target, then rename: a kill or a full disk leaves the last good one."""
        target = Path(path)
        make_folder(target.parent)
        try:
            with written_whole(target) as temporary:
                torch.save(checkpoint, temporary)
        except RuntimeError as error:  # how torch's zip writer reports a full disk
            reason = str(error).split("\n")[0]
            raise OutputError(f"{target}: cannot be written ({reason}); free space, then resume the run") from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Return what `save_checkpoint` wrote."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


class BestAndLast(Checkpoint):
    """Keeps `best.ckpt` and `last.ckpt` of a run, at the end of each epoch.

    Lightning's own ModelCheckpoint forgets its best score when the run folder has been moved; this one keeps it.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        self.folder = folder
        self.monitor = monitor
        self.best_value: float | None = None
        self.best_epoch: int | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch as last, and first as best if it is."""
        value = float(trainer.callback_metrics[self.monitor])
        sign = -1 if self.monitor.endswith("loss") else 1
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_value, self.best_epoch = value, trainer.current_epoch
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far and its epoch (from 0)."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best value so far."""
        self.best_value = state_dict["best_value"]
        self.best_epoch = state_dict["best_epoch"]


class EpochWeights(Callback):
    """Keeps the weights of every `every`-th epoch as `<network>_epochXX.safetensors`.

    Stands before the weight averaging among the callbacks, so that it sees the weights that were validated.
    """

    def __init__(self, folder: Path, name: str, every: int) -> None:
        self.folder = folder
        self.name = name
        self.every = every

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the weights that were just validated."""
        from safetensors.torch import save

        epoch = trainer.current_epoch + 1
        if trainer.sanity_checking or epoch % self.every:
            return
        digits = max(2, len(str(trainer.max_epochs)))
        weights = {name: value.contiguous() for name, value in _ours(pl_module).network.state_dict().items()}
        with written_whole(self.folder / f"{self.name}_epoch{epoch:0{digits}d}.safetensors") as temporary:
            temporary.write_bytes(save(weights))


class WarmedAveraging(WeightAveraging):
    """Exponential moving average of the weights, which validation and the bundle use.

    The decay of update n is min(decay, (1 + n) / (10 + n)), so that short runs are not held back by their start.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            n = float(updates)
            weight = 1 - min(decay, (1 + n) / (10 + n))
            if not torch.is_floating_point(averaged):
                return current
            return torch.lerp(averaged, current, weight)

        super().__init__(use_buffers=True, avg_fn=average)


class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by `factor` when `val_loss` has not fallen for `patience` epochs.

    Lightning steps such a schedule after the checkpoint is saved, so that a resumed run would differ; this one
    steps before.
    """

    def __init__(self, patience: int, factor: float) -> None:
        self.patience = patience
        self.factor = factor
        self.best = float("inf")
        self.waited = 0
        self.left = 1.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the epoch's validation loss."""
        value = float(trainer.callback_metrics["val_loss"])
        if value < self.best:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.waited = 0
            self.left *= self.factor
            _ours(pl_module).plateau_factor = self.left
            _log.info("epoch %d: learning rate reduced to %.3g of its start", trainer.current_epoch + 1, self.left)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand a restored factor to the network's schedule."""
        _ours(pl_module).plateau_factor = self.left

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best, "waited": self.waited, "left": self.left}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run was."""
        self.best, self.waited, self.left = state_dict["best"], state_dict["waited"], state_dict["left"]


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
            self._progress.add_task("training", total=_ours(pl_module).total_steps, completed=trainer.global_step)
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
        left = (
            (_ours(pl_module).total_steps - trainer.global_step) * (time.perf_counter() - self._started) / max(1, done)
        )
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


def _ours(module: pl.LightningModule) -> SegmentationModule:
    assert isinstance(module, SegmentationModule)
    return module
