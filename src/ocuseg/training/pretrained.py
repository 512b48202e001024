"""Weights from elsewhere for an encoder: read without executing anything, matched name by name, nothing in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ocuseg.errors import ModelError
from ocuseg.networks import SegmentationNetwork

__all__ = ["load_encoder_weights", "read_weights"]

# What wraps the names of a whole network: parallel training, training with the loss inside, other toolkits.
_WRAPPERS = re.compile(r"^(module\.|model\.|network\.|backbone\.|encoder\.)+")
# What wraps the weights of a checkpoint; 'model' may also be the network's name.
_INNER = ("state_dict", "model", "model_state", "state_dict_ema", "model_ema")
# What classifiers and segmentation networks hold beside their encoder.
_NOT_ENCODER = (
    "incre_modules", "downsamp_modules", "final_layer", "classifier", "last_layer", "loss",
    "conv3x3_ocr", "ocr_gather_head", "ocr_distri_head", "aux_head", "cls_head", "decode_head", "auxiliary_head",
    "decoder", "head", "auxiliary_heads", "fc", "first",
)  # fmt: skip
_SHOWN = 8


def load_encoder_weights(network: SegmentationNetwork, path: Path | str) -> list[str]:
    """Give the encoder of `network` the weights of a checkpoint; return the names in it that were dropped.

    The checkpoint is a `.pth` or `.safetensors` file with the encoder's own names: for `hrnet` those that the official
    code, timm and mmsegmentation share, for any network those of an ocuseg bundle. Only what belongs to a classifier
    or a decoder is dropped. Raises ModelError, naming the keys, where anything else is missing, unknown or of another
    shape, and where the file cannot be read.
    """
    found: dict[str, tuple[str, Tensor]] = {}
    for name, value in read_weights(path).items():
        inner = _WRAPPERS.sub("", name)
        if inner in found:
            raise ModelError(f"{path}: holds two networks ({found[inner][0]} and {name}); save the one that is meant")
        found[inner] = (name, value)
    dropped = [name for inner, (name, _) in found.items() if inner.partition(".")[0] in _NOT_ENCODER]
    weights = {inner: value for inner, (name, value) in found.items() if name not in set(dropped)}
    encoder = network.encoder
    _require_matching(encoder, weights, path)
    # Files from before 2018 do not count batches; the fresh count serves as well.
    encoder.load_state_dict(weights, strict=False)
    return dropped


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a `.pth` or `.safetensors` file by name; nothing in it is executed.

    Raises ModelError where the file is missing, damaged, or holds anything else.
    """
    content = _read_safetensors(path) if str(path).endswith(".safetensors") else _read_pickle(path)
    for key in _INNER:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            content = inner
            break
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(f"{path}: holds no weights; give a checkpoint or state dict (.pth, .safetensors)")
    return weights


def _read_safetensors(path: Path | str) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: Mapping[str, Any] = load_file(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); give a weights file") from error
    except SafetensorError as error:
        raise ModelError(f"{path}: is no safetensors file ({error}); download it again") from error
    return weights


def _read_pickle(path: Path | str) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); give a weights file") from error
    except Exception as error:  # torch raises half a dozen types for damaged files
        if "Weights only" in str(error):
            raise ModelError(
                f"{path}: holds more than weights, which could run code when read; save its state dict alone, best as "
                ".safetensors"
            ) from error
        raise ModelError(f"{path}: is no PyTorch checkpoint or is damaged; download it again") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: holds a {type(content).__name__}; give a state dict (.pth, .safetensors)")
    return content


def _require_matching(encoder: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    expected = encoder.state_dict()
    counted = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in weights and name not in counted]
    unknown = [name for name in weights if name not in expected]
    shapes = [
        f"{name} {_shape(weights[name])}, needed {_shape(value)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    faults = [("missing", missing), ("unknown", unknown), ("of another shape", shapes)]
    said = [f"{len(names)} {what} ({_listed(names)})" for what, names in faults if names]
    if said:
        raise ModelError(
            f"{path}: does not fit the encoder: {'; '.join(said)}; give the weights of this very network and variant"
        )


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "scalar"


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
