"""What the network sees: some validation images after every epoch, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ocuseg.classes import Classes
from ocuseg.drawing import draw_overlay
from ocuseg.files import make_folder
from ocuseg.images import write_image

__all__ = ["SamplePictures"]


class SamplePictures(Callback):
    """Draws `number` validation images after each epoch to `folder/epochXX_NAME.jpg`, at their working size.

    Left the reference, right the prediction (of two classes at the threshold 0.5), in the colours of the classes. The
    images are evenly spaced among those of validation, and the same in every epoch.
    """

    def __init__(self, folder: Path, number: int, classes: Classes) -> None:
        self.folder = folder
        self.number = number
        self.classes = classes

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the image that was just validated, if it is one of the chosen."""
        images = int(trainer.num_val_batches[0])
        number = min(self.number, images)
        if batch_idx not in {(2 * index + 1) * images // (2 * number) for index in range(number)}:
            return
        reference = batch["target"][0].cpu().numpy()
        region = batch["counted"][0].cpu().numpy()
        height, width = reference.shape
        image = np.ascontiguousarray(batch["images"][0, :, :height, :width].permute(1, 2, 0).cpu().numpy())
        sides = [
            draw_overlay(image, mask.astype(np.uint8), self.classes, region=region)
            for mask in (reference, outputs[0].cpu().numpy())
        ]
        digits = max(2, len(str(trainer.max_epochs)))
        name = f"epoch{trainer.current_epoch + 1:0{digits}d}_{batch['names'][0]}.jpg"
        write_image(make_folder(self.folder) / name, np.concatenate(sides, axis=1))
