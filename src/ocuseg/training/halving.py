"""An ONNX file of half the size: weights that half precision holds exactly are stored so, and read back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["halved", "restored"]

_HALF, _FULL, _SCALE = "_half", "_full", "_scale"
_LEAST_BYTES = 1 << 15  # below which a weight is a small part of the file, and to fold it costs a runtime as much
_MOST_STEPS = 2  # between a quotient of two float32 and the factor that it was made with


def halved(model: Any, weights: Mapping[str, NDArray[Any]], *, least_bytes: int = _LEAST_BYTES) -> Any:
    """Return an ONNX model that computes the same, bit for bit, with what it can of its weights in half precision.

    `weights` are those of the network by their PyTorch names, before the exporter folded the normalisation behind a
    convolution into it. One that half precision holds exactly is stored so, with a Cast to float32 and, where something
    was folded in, a Mul with one float32 factor for each output channel; runtimes compute both once, when they open the
    file. All else, and what takes less than `least_bytes`, stays as it is; so does a network that was not rounded.
    """
    from onnx import TensorProto, helper, numpy_helper

    stored: list[Any] = []
    nodes: list[Any] = []
    for initializer in model.graph.initializer:
        name = initializer.name
        value = numpy_helper.to_array(initializer)
        weight = weights.get(name.removeprefix("network.")) if value.nbytes >= least_bytes else None
        parts = None if weight is None else _parts(value, weight)
        if parts is None:
            stored.append(initializer)
            continue
        half, scale = parts
        cast = name if scale is None else name + _FULL
        stored.append(numpy_helper.from_array(half, name + _HALF))
        nodes.append(helper.make_node("Cast", [name + _HALF], [cast], name=name + "_cast", to=TensorProto.FLOAT))
        if scale is not None:
            stored.append(numpy_helper.from_array(scale, name + _SCALE))
            nodes.append(helper.make_node("Mul", [cast, name + _SCALE], [name], name=name + "_mul"))
    return _with(model, stored, [*nodes, *model.graph.node])


def restored(model: Any) -> Any:
    """Return a model of `halved` with its weights in float32 again, for a tool that looks for them as they are."""
    from onnx import numpy_helper

    values = {one.name: one for one in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        name = node.output[0]
        if node.op_type == "Cast" and node.input[0].endswith(_HALF) and node.input[0] in values:
            full = numpy_helper.to_array(values.pop(node.input[0])).astype(np.float32)
            values[name] = numpy_helper.from_array(full, name)
        elif node.op_type == "Mul" and node.input[1].endswith(_SCALE) and node.input[1] in values:
            full, scale = (numpy_helper.to_array(values.pop(one)) for one in node.input)
            values[name] = numpy_helper.from_array(full * scale, name)
        else:
            nodes.append(node)
    return _with(model, list(values.values()), nodes)


def _parts(value: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[np.float16], NDArray[np.float32] | None] | None:
    """Half-precision values and factors (C, 1, ...) or None, whose product is `value`; None where there are none."""
    if weight.ndim < 2 or weight.shape != value.shape or value.dtype != np.float32:
        return None
    with np.errstate(over="ignore"):
        half = weight.astype(np.float16)
    full = half.astype(np.float32)
    if not np.array_equal(full, weight):
        return None
    if np.array_equal(full, value):
        return half, None
    scale = _factors(value.reshape(len(value), -1), full.reshape(len(full), -1))
    return None if scale is None else (half, scale.reshape(-1, *[1] * (value.ndim - 1)))


def _factors(folded: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The factor of each row that makes `folded` of `weight` bit for bit; None where a row has none."""
    rows, largest = np.arange(len(weight)), np.abs(weight).argmax(axis=1)
    divisor = weight[rows, largest]
    first = np.where(divisor == 0, 1, folded[rows, largest] / np.where(divisor == 0, 1, divisor)).astype(np.float32)
    found, factors = np.zeros(len(weight), bool), first.copy()
    for direction in (np.float32(np.inf), np.float32(-np.inf)):
        tried = first.copy()
        for _ in range(_MOST_STEPS + 1):
            fits = (weight * tried[:, None] == folded).all(axis=1) & ~found
            factors[fits], found = tried[fits], found | fits
            tried = np.nextafter(tried, direction)
    return factors if found.all() else None


def _with(model: Any, initializers: list[Any], nodes: list[Any]) -> Any:
    changed = type(model)()
    changed.CopyFrom(model)
    del changed.graph.initializer[:], changed.graph.node[:]
    changed.graph.initializer.extend(initializers)
    changed.graph.node.extend(nodes)
    return changed
