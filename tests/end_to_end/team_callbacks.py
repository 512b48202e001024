"""What befalls one of several processes; in a module of its own, from which the others can import it."""

from __future__ import annotations

import os
import signal
from typing import Any

from pytorch_lightning.callbacks import Callback

from ocuseg.errors import DataError


class Killed(Callback):
    """Kills process 1 after the first step of epoch 2."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Refusing(Callback):
    """Finds fault with the data in process 1, after the first step."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_rank == 1:
            raise DataError("eye.png: is upside down; turn it")
