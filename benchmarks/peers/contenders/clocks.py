"""What stops the time inside `ocuseg.train`: Lightning callbacks, in a module that its other processes can import."""

from __future__ import annotations

import os
import time

import pytorch_lightning as pl
from line import Line


class Turns(pl.Callback):
    """Trains some steps in each turn and stands still between them."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def on_train_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        self.turns = self.line.turns(parameters=sum(each.numel() for each in module.network.parameters()))
        self.begin()

    def begin(self) -> None:
        warm = next(self.turns, None)
        if warm is None:  # the harness has had enough
            os._exit(0)
        self.left = self.steps = 1 if warm else self.line.settings["steps"]
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        self.left -= 1
        if not self.left:
            self.line.answer({"step_s": (time.perf_counter() - self.start) / self.steps})
            self.begin()


class Clock(pl.Callback):
    """Notes how long an epoch took, how long a step after its first, and when the weights were on disk."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.times: dict[str, float] = {}

    def on_train_epoch_start(self, *_: object) -> None:
        self.epoch = time.perf_counter()
        self.steps = -1

    def on_train_batch_end(self, *_: object) -> None:
        self.steps += 1
        if self.steps == 0:
            self.first = time.perf_counter()
        else:
            self.times["step_s"] = (time.perf_counter() - self.first) / self.steps

    def on_train_end(self, *_: object) -> None:
        self.times["epoch_s"] = time.perf_counter() - self.epoch

    def on_fit_end(self, *_: object) -> None:
        self.times["weights_s"] = time.time() - self.started
