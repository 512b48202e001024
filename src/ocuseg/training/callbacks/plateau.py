"""The learning rate after epochs that brought nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ocuseg.training.module import our_module

__all__ = ["ReduceOnPlateau"]

_log = logging.getLogger("ocuseg")


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
            our_module(pl_module).plateau_factor = self.left
            _log.info("epoch %d: learning rate reduced to %.3g of its start", trainer.current_epoch + 1, self.left)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand a restored factor to the network's schedule."""
        our_module(pl_module).plateau_factor = self.left

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best, "waited": self.waited, "left": self.left}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run was."""
        self.best, self.waited, self.left = state_dict["best"], state_dict["waited"], state_dict["left"]
