"""A model that fits in one's head: one convolution, written without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocuseg.bundle import BundleInfo, write_bundle
from ocuseg.classes import default_classes
from tiny_bundles import convolution_as_onnx

Content = tuple[BundleInfo, bytes, bytes]


def bright_red_content(num_classes: int = 2, **changes: Any) -> Content:
    """What a bundle needs that calls a pixel class 1 if its red, from 0 to 1, is above 0.5: logit 8 * (red - 0.5).

    With three classes, class 2 is where green is above 0.5 and above red.
    """
    channels = 1 if num_classes == 2 else num_classes
    kernel = np.zeros((channels, 3, 1, 1))
    bias = np.full(channels, -4.0)
    for colour in range(channels if channels == 1 else channels - 1):
        kernel[colour if channels == 1 else colour + 1, colour] = 8
    if channels > 1:
        bias[0] = 0
    values: dict[str, Any] = {
        "name": "bright-red",
        "network": {"name": "unet-small", "out_channels": channels},
        "classes": default_classes(num_classes).to_list(),
        "preprocessing": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "multiple": 4},
        "prediction": {"tile_px": 64, "overlap_px": 16, "flips": False},
        "threshold": 0.5 if num_classes == 2 else None,
        "threshold_chosen_on": "val" if num_classes == 2 else None,
        "trained_on": {"data_hash": "ab" * 32, "images": {"train": 3, "val": 1}},
        "scores": {
            "split": "test",
            "classes": [
                {"id": 1, "name": "foreground", "dice": {"pooled": 0.8312, "per_image": 0.82, "ci95": [0.8, 0.84]}}
            ],
        },
        "licence": "Apache-2.0",
        "ocuseg_version": "0.1.0",
    }
    return BundleInfo(**(values | changes)), convolution_as_onnx(kernel, bias), b"weights"


@pytest.fixture
def bright_red(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the bundle of `bright_red_content` and returns its folder."""

    def write(num_classes: int = 2, folder: str = "bright-red", **changes: Any) -> Path:
        info, onnx_model, weights = bright_red_content(num_classes, **changes)
        return write_bundle(tmp_path / folder, info, onnx_model=onnx_model, weights=weights)

    return write


@pytest.fixture
def bright_red_parts() -> Callable[..., Content]:
    """The content of that bundle, in memory."""
    return bright_red_content
