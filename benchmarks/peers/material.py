"""What the contenders work on: drawn images with masks, a trained bundle, large masks with stored probabilities.

    python benchmarks/peers/material.py KIND FOLDER SIZES-AS-JSON

A process of its own, so that the harness stays small. Each kind is written whole or not at all, and only once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.folders import folder_written_whole
from ocuseg.phantom import draw_fundus, write_fundus_set


def main() -> None:
    kind, folder, sizes = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_written_whole(folder) as staging:
            KINDS[kind](staging, folder.parent, sizes)


def make_set(folder: Path, beside: Path, sizes: dict[str, Any]) -> None:  # noqa: ARG001
    """Training and validation images in the retina layout."""
    write_fundus_set(folder, {"train": sizes["train"], "val": sizes["val"]}, size=tuple(sizes["drawn"]))


def make_folder(folder: Path, beside: Path, sizes: dict[str, Any]) -> None:  # noqa: ARG001
    """Images to predict, of the size that the network works at."""
    from PIL import Image

    for number in range(sizes["predict"]):
        Image.fromarray(draw_fundus(10_000 + number, sizes["image"]).image).save(folder / f"{number:04d}.png")


def make_bundle(folder: Path, beside: Path, sizes: dict[str, Any]) -> None:
    """A bundle that was trained a little, so that its masks are masks, and the same weights for the plain network."""
    import shutil

    import torch
    from safetensors.torch import load_file

    import ocuseg
    from ocuseg.errors import DeadNetworkError

    run = folder / "run"
    overrides = [
        f"network={{name: unet, width: {sizes['width']}}}", "preprocessing.crop=none", "preprocessing.size=null",
        f"crop_px={sizes['image']}", "epochs=1", f"steps_per_epoch={sizes['fit_steps']}",
        f"batch_size={sizes['batch']}", "learning_rate=2e-3", "prediction.flips=false",
    ]  # fmt: skip
    with suppress(DeadNetworkError):  # nothing hangs on what it finds
        ocuseg.train(beside / "set", "retina-unet256", out=run, overrides=overrides, cache="off")
    shutil.move(run / "bundle", folder / "bundle")
    shutil.rmtree(run)
    found = json.loads((folder / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    facts = {
        "width": sizes["width"],
        "state": plain_state(load_file(folder / "bundle" / "model.safetensors"), found["network"]),
        "threshold": found["threshold"],
        "mean": list(found["preprocessing"]["mean"]),
        "std": list(found["preprocessing"]["std"]),
    }
    torch.save(facts, folder / "plain.pt")


def plain_state(weights: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a U-Net of ours by the names of the plain one, whose parts come in the same order."""
    from contenders.plain import UNet

    from ocuseg.networks import build_network

    names = build_network(settings).state_dict()  # a weights file has an order of its own
    plain = UNet(settings["width"], settings["depth"]).state_dict()
    return {theirs: weights[ours] for theirs, ours in zip(plain, names, strict=True)}


def make_large(folder: Path, beside: Path, sizes: dict[str, Any]) -> None:  # noqa: ARG001
    """Images of a large camera with masks, fields of view and probabilities; every second one is a mirrored first."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    cases = []
    for number in range(sizes["large_drawn"]):
        if number % 2 == 0:
            drawn = draw_fundus(20_000 + number, tuple(sizes["large"]))
            parts = {"image": drawn.image, "mask": drawn.mask, "field_of_view": drawn.field_of_view.astype(np.uint8)}
            random = np.random.default_rng(number)
            noise = gaussian_filter(random.standard_normal(drawn.mask.shape, np.float32), 2)
            parts["probabilities"] = soft(drawn.mask, noise)
        else:
            parts = {name: np.ascontiguousarray(values[:, ::-1]) for name, values in parts.items()}
        case = {}
        for name, values in parts.items():
            path = folder / f"{number:02d}_{name}"
            if name == "probabilities":
                path = path.with_suffix(".npy")
                np.save(path, values)
            else:
                path = path.with_suffix(".jpg" if name == "image" else ".png")
                Image.fromarray(values).save(path, **({"quality": 95} if name == "image" else {}))
            case[name] = path.name
        cases.append(case)
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")


def soft(mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return probabilities (H, W) float32 that find a mask as a network might: blurred, with spots of doubt."""
    from scipy.ndimage import gaussian_filter

    logits = 8 * gaussian_filter(mask.astype(np.float32), 1.5) - 4 + 12 * noise
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


KINDS: dict[str, Callable[[Path, Path, dict[str, Any]], None]] = {
    "set": make_set, "folder": make_folder, "bundle": make_bundle, "large": make_large,
}  # fmt: skip

if __name__ == "__main__":
    main()
