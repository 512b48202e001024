"""What a run keeps of its epochs, written whole and read without executing anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint

from ocuseg.errors import ModelError, OutputError
from ocuseg.files import make_folder, written_whole
from ocuseg.training.module import our_module
from ocuseg.training.team import ALONE, Team

__all__ = ["BestAndLast", "EpochWeights", "WholeCheckpoints", "read_checkpoint"]


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
    """Checkpoints that are written whole or not at all, and read without executing anything; by a team's leader."""

    def __init__(self, team: Team = ALONE) -> None:
        self._team = team

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
        """Return what `save_checkpoint` wrote, in every process of the team."""
        return self._team.told(lambda: read_checkpoint(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


class BestAndLast(Checkpoint):
    """Keeps `best.ckpt` and `last.ckpt` of a run, at the end of each epoch.

    Lightning's own ModelCheckpoint forgets its best score when the run folder has been moved; this one keeps it, and
    that a callback before it has ended the run.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        self.folder = folder
        self.monitor = monitor
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.ended = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch as last, and first as best if it is."""
        self.ended = bool(trainer.should_stop)
        value = float(trainer.callback_metrics[self.monitor])
        sign = -1 if self.monitor.endswith("loss") else 1
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_value, self.best_epoch = value, trainer.current_epoch
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, its epoch (from 0), and whether a callback has ended the run."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch, "ended": self.ended}

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
        weights = {name: value.contiguous() for name, value in our_module(pl_module).network.state_dict().items()}
        with written_whole(self.folder / f"{self.name}_epoch{epoch:0{digits}d}.safetensors") as temporary:
            temporary.write_bytes(save(weights))
