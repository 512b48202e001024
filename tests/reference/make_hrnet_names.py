"""Write `hrnet_names.json.gz` and `hrnet_features.npz`: what timm's HRNets are made of, and what they compute.

    pip install timm==1.0.31
    python tests/reference/make_hrnet_names.py

It needs timm, which ocuseg does not, so it runs in an environment of its own and downloads no weights. Its definition
comes from the official code (https://github.com/HRNet/HRNet-Image-Classification, MIT) and has its names.

The first file is one JSON object, the same byte for byte each time: `timm`, its version, and `models`, {model: {name:
shape}} in the order of the state dict. The second holds for each model of FEATURES, as `MODEL_0` to `MODEL_3`, the
features at 1/4 to 1/32 of the size that the formula of `hrnet_formula.py` gives.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from hrnet_formula import formula_images, formula_state
from numpy.typing import NDArray

MODELS = ("hrnet_w18_small", "hrnet_w18_small_v2", "hrnet_w18", "hrnet_w32", "hrnet_w48")
FEATURES = ("hrnet_w18_small", "hrnet_w18_small_v2", "hrnet_w18")
HERE = Path(__file__).parent


def names_and_shapes(model: str) -> dict[str, list[int]]:
    """Return the shape of every parameter and buffer of a timm model, by name."""
    state = timm.create_model(model, pretrained=False).state_dict()
    return {name: list(value.shape) for name, value in state.items()}


def features(model: str) -> list[NDArray[np.float32]]:
    """Return the four features of a timm model, before what only its classifier has."""
    network = timm.create_model(model, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)).eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if "num_batches" not in name}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in formula_state(shapes).items()}, False)
    with torch.inference_mode():
        return [each.numpy() for each in network(torch.from_numpy(formula_images()))]


def main() -> None:
    content = {"timm": timm.__version__, "models": {model: names_and_shapes(model) for model in MODELS}}
    text = json.dumps(content, separators=(",", ":"))
    (HERE / "hrnet_names.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    found = {f"{model}_{number}": each for model in FEATURES for number, each in enumerate(features(model))}
    np.savez_compressed(HERE / "hrnet_features.npz", **found)
    sys.stdout.write(f"timm {timm.__version__}\n")


if __name__ == "__main__":
    main()
