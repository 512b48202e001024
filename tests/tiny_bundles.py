"""Bundles of one convolution, which fit in one's head: written without training, and the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.bundle import BundleInfo, write_bundle
from ocuseg.classes import parse_classes

_PARTS = ({"id": 0, "name": "background"}, {"id": 1, "name": "iris"}, {"id": 2, "name": "pupil", "parent": "iris"})
_BY_COLOUR = ((9, 0, 0), (0, 8, 0), (3, 3, 2), (4, 0, 4), (0, 2, 7))


def dark_lines(folder: Path, **changes: Any) -> Path:
    """A bundle that calls a pixel vessel where its green is below that of its surroundings, and measures vessels."""
    kernel = np.zeros((1, 3, 7, 7))
    kernel[0, 1] = 1 / 49
    kernel[0, 1, 3, 3] -= 1
    rows = [{"id": 0, "name": "background"}, {"id": 1, "name": "vessel", "colour": "#56b4e9"}]
    words = {"threshold": 0.6, "threshold_chosen_on": "val", "measures": ["vessels"]} | changes
    return _write(folder, "dark-lines", rows, 30 * kernel, **words)


def bright_parts(folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """A bundle of up to five classes that are told apart, not very well, by red, green and blue.

    By default there are three, one a part of another.
    """
    classes = list(_PARTS) if rows is None else rows
    kernel = np.array(_BY_COLOUR[: len(classes)])[:, :, np.newaxis, np.newaxis]
    return _write(folder, "bright-parts", classes, kernel, threshold=None, threshold_chosen_on=None)


def served_bundles(folder: Path) -> list[Path]:
    """The bundles that the tests of the service and of its page serve; to the third, every picture is a strange one."""
    unlike = [{"brightness": 5.0}]
    return [dark_lines(folder / "lines"), bright_parts(folder / "parts"), dark_lines(folder / "odd", made_for=unlike)]


def convolution_as_onnx(kernel: np.ndarray, bias: np.ndarray | None = None) -> bytes:
    """An ONNX file of one convolution with zero padding; `kernel` is (C, 3, k, k), `bias` (C,) or none."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    node = helper.make_node("Conv", ["images", *weights], ["logits"], pads=[kernel.shape[2] // 2] * 4)
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", kernel.shape[0], "h", "w"])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _write(folder: Path, name: str, rows: list[dict[str, Any]], kernel: np.ndarray, **words: Any) -> Path:
    classes = parse_classes(rows)
    info = BundleInfo(
        name=name,
        network={"name": "unet-small", "out_channels": classes.out_channels},
        classes=classes.to_list(),
        preprocessing={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "multiple": 4},
        prediction={"tile_px": 128, "overlap_px": 16, "flips": False},
        trained_on={},
        scores={},
        licence="Apache-2.0",
        ocuseg_version="0.1.0",
        **words,
    )
    return write_bundle(folder, info, onnx_model=convolution_as_onnx(kernel), weights=b"none")
