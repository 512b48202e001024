"""A bundle becomes an int8 bundle: quantised with training images, refused where that costs more than it may."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.bundle import Bundle, load_bundle, write_bundle
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import ExportError
from ocuseg.evaluation import Evaluation, evaluate_records
from ocuseg.images import read_image
from ocuseg.index import Record
from ocuseg.prediction import Predictor, open_predictor
from ocuseg.training.completion import headline
from ocuseg.training.halving import restored

__all__ = ["MOST_LOST", "quantise_bundle", "to_int8"]

MOST_LOST = 0.005
"""The most that the Dice of a class may fall by."""

_CALIBRATED_ON = 32
_WINDOWS_EACH = 4
_TIMED = 3
# A ReLU belongs to the convolution before it: its values then use all of the 256 steps.
_QUANTISED = ("Conv", "Relu")

_log = logging.getLogger("ocuseg")


def quantise_bundle(
    bundle: Bundle,
    folder: Path,
    *,
    calibration: Sequence[Record],
    validation: Sequence[Record],
    encoding: MaskEncoding,
) -> Bundle:
    """Return the bundle written to `folder` that is `bundle` with convolutions in int8, its threshold unchanged.

    `calibration` are training images, of which up to 32, evenly spread, show what values occur in the network. Dice is
    measured on `validation` before and after, by ONNX Runtime. Raises ExportError, with both, where that of a class
    falls by more than `MOST_LOST`.
    """
    shown = calibration[:: max(1, len(calibration) // _CALIBRATED_ON)][:_CALIBRATED_ON]
    onnx_model, weights = to_int8(bundle, shown), bundle.weights_path.read_bytes()
    before = _evaluated(bundle, validation, encoding)
    with tempfile.TemporaryDirectory() as scratch:
        info = bundle.info.model_copy(update={"precision": "int8"})
        staged = load_bundle(write_bundle(Path(scratch) / "bundle", info, onnx_model=onnx_model, weights=weights))
        after = _evaluated(staged, validation, encoding)
        dice = _compared(before, after)
        for row in dice:
            if row["fp32"] - row["int8"] > MOST_LOST:
                raise ExportError(
                    f"{folder}: not written, in int8 the Dice of {row['name']} on val falls from {row['fp32']:.4f} to "
                    f"{row['int8']:.4f}, and accepted is {MOST_LOST:g}; export without --int8"
                )
        share = _time_share(bundle, staged, next(_windows(bundle, shown)))
    said = ", ".join(f"{row['name']} {row['fp32']:.4f} -> {row['int8']:.4f}" for row in dice)
    _log.info("int8 from %d training images; Dice on val: %s", len(shown), said)
    _log.info("ONNX Runtime needs %.0f %% of the time of fp32 for it on this machine", 100 * share)
    facts = {"calibration_images": len(shown), "measured_on": "val", "runtime": "onnxruntime", "dice": dice}
    update = {"quantisation": facts, "scores": bundle.info.scores | {"val": headline(after)}}
    return load_bundle(write_bundle(folder, info.model_copy(update=update), onnx_model=onnx_model, weights=weights))


def to_int8(bundle: Bundle, records: Sequence[Record]) -> bytes:
    """Return the ONNX file of `bundle` with its convolutions in int8, calibrated on the images of `records`.

    Static, in the QDQ form that ONNX Runtime and OpenVINO read: weights of 7 bits for each output channel, which no
    processor's 16-bit sums overflow with; activations of 8 bits between the smallest and the largest value seen. The
    first and the last convolutions stay in fp32, as does all that is no convolution. Jacob et al. 2018,
    https://doi.org/10.1109/CVPR.2018.00286.
    """
    import onnx
    from onnxruntime import quantization

    class Windows(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._windows = _windows(bundle, records)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            window = next(self._windows, None)
            return None if window is None else {"images": window}

    with tempfile.TemporaryDirectory() as scratch:
        whole, source, target = (Path(scratch) / f"{name}.onnx" for name in ("whole", "fp32", "int8"))
        onnx.save(restored(onnx.load(bundle.onnx_path)), whole)
        quantization.quant_pre_process(str(whole), str(source), skip_optimization=True, skip_symbolic_shape=True)
        quantization.quantize_static(
            str(source),
            str(target),
            Windows(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_outer_convolutions(onnx.load(source).graph),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return target.read_bytes()


def _outer_convolutions(graph: Any) -> list[str]:
    """The names of the convolutions that see the image itself, and of those that no other convolution follows."""
    kinds = ("Conv", "ConvTranspose")
    outer: list[str] = []
    behind: set[str] = set()  # what comes after a convolution
    for node in graph.node:
        is_behind = not behind.isdisjoint(node.input)
        if node.op_type in kinds and not is_behind:
            outer.append(node.name)
        if node.op_type in kinds or is_behind:
            behind.update(node.output)
    ahead: set[str] = set()  # what a convolution comes after
    for node in reversed(graph.node):
        is_ahead = not ahead.isdisjoint(node.output)
        if node.op_type in kinds and not is_ahead:
            outer.append(node.name)
        if node.op_type in kinds or is_ahead:
            ahead.update(node.input)
    return outer


def _windows(bundle: Bundle, records: Sequence[Record]) -> Iterator[NDArray[np.float32]]:
    """What the network of `bundle` gets to see of the images, (N, 3, H, W): whole ones, or some of their tiles."""
    seen: list[NDArray[np.float32]] = []

    def look(images: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(images)
        return np.zeros((len(images), bundle.classes.out_channels, *images.shape[2:]), np.float32)

    settings = bundle.info.prediction
    predictor = Predictor(
        look,
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        tile_px=settings["tile_px"],
        overlap_px=settings["overlap_px"],
    )
    for record in records:
        seen.clear()
        predictor.probabilities(read_image(record.image))
        yield from seen[:: max(1, len(seen) // _WINDOWS_EACH)][:_WINDOWS_EACH]


def _evaluated(bundle: Bundle, records: Sequence[Record], encoding: MaskEncoding) -> Evaluation:
    predictor = open_predictor(bundle, "onnxruntime")
    return evaluate_records(predictor, records, encoding, split="val", borders=False, threads=False)


def _compared(before: Evaluation, after: Evaluation) -> list[dict[str, Any]]:
    """The pooled Dice of each class that has one, in fp32 and in int8."""
    return [
        {"id": old["id"], "name": old["name"], "fp32": old["dice"]["pooled"], "int8": new["dice"]["pooled"] or 0.0}
        for old, new in zip(before.metrics["classes"], after.metrics["classes"], strict=True)
        if old["dice"]["pooled"] is not None
    ]


def _time_share(fp32: Bundle, int8: Bundle, images: NDArray[np.float32]) -> float:
    """The time of `int8` divided by that of `fp32`, the shortest of some turns each, by ONNX Runtime."""
    networks = [open_predictor(bundle, "onnxruntime").network for bundle in (fp32, int8)]
    shortest = [float("inf")] * len(networks)
    for turn in range(_TIMED + 1):  # the first warms up
        for position, network in enumerate(networks):
            start_s = time.perf_counter()
            network(images)
            if turn:
                shortest[position] = min(shortest[position], time.perf_counter() - start_s)
    return shortest[1] / shortest[0]
