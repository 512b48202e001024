"""Where images wait for a training step: on the GPU where they fit, else in memory that it can fetch them from."""

from __future__ import annotations

import logging

import torch
from torch.utils.data import DataLoader

from ocuseg.training.dataset import Batch, EpochSteps, TrainingBatches, ValidationImages

__all__ = ["data_loaders"]

_log = logging.getLogger("ocuseg")

_MOST_OF_GPU = 0.25  # of what is free on it; the rest is for the network


def data_loaders(
    batches: TrainingBatches, images: ValidationImages, device: torch.device
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """Return what gives a trainer on `device` its training batches and its validation images.

    On a GPU the samples are moved there, training before validation, as long as they take no more than a quarter of
    its free memory; batches are then cut there. What does not fit waits in pinned memory, from which it is copied while
    the GPU computes. On a CPU batches are cut from the samples where they lie.
    """
    pinned = {}
    for data in (batches, images):
        held = device.type == "cuda" and data.nbytes <= _MOST_OF_GPU * torch.cuda.mem_get_info(device)[0]
        if held:
            data.hold_on(device)
            _log.info("%d images are held on the GPU, %.2f GB", len(data.samples), data.nbytes / 1e9)
        pinned[data] = device.type == "cuda" and not held
    return (
        DataLoader(batches, sampler=EpochSteps(len(batches)), batch_size=None, pin_memory=pinned[batches]),
        DataLoader(images, batch_size=None, pin_memory=pinned[images]),
    )
