"""Make what `test_golden.py` compares with: pictures, and what fixed networks and scores make of them.

    python tests/golden/make_golden.py            the expected results, from the pictures that are stored
    python tests/golden/make_golden.py --pictures the pictures as well, drawn anew

Run it only where results are meant to change, and say in the commit message why they did. The weights come from a
formula and the scores from a rule on whole numbers, so that nothing depends on the random numbers of a library.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ocuseg.checking import check_index
from ocuseg.classes import default_classes
from ocuseg.evaluation import Evaluation, evaluate_records
from ocuseg.files import write_json
from ocuseg.geometry import Preprocessing, normalise
from ocuseg.images import read_image, read_mask, write_mask
from ocuseg.index import build_index
from ocuseg.networks import SegmentationNetwork, build_network
from ocuseg.phantom import write_eye_set, write_fundus_set
from ocuseg.prediction import Predictor

HERE = Path(__file__).parent
DATA = {"fundus": HERE / "fundus", "eye": HERE / "eye"}
SEED = 11

NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"name": "unet-small", "width": 4, "depth": 2},
    "group": {
        "name": "unet", "width": 8, "depth": 3, "norm": "group", "activation": "leaky_relu", "upsampling": "bilinear",
        "out_channels": 4, "deep_supervision": True,
    },
    "instance": {"name": "unet-small", "width": 4, "depth": 3, "norm": "instance", "dropout": 0.2, "out_channels": 3},
    "unet-256": {"name": "unet-256", "width": 4, "depth": 5},
}  # fmt: skip
"""Networks whose logits of the first fundus image, cut to 61 x 45, are stored."""

PREDICTIONS: dict[str, dict[str, Any]] = {
    "resized": {"network": "small", "crop": "field_of_view", "size": (40, 48), "flips": True},
    "tiled": {"network": "group", "tile_px": 32, "overlap_px": 8},
    "rescaled": {"network": "instance", "crop": "field_of_view", "field_of_view_diameter_px": 90},
}
"""Ways from an image to a mask whose results for the first fundus image are stored."""


def formula_network(name: str) -> SegmentationNetwork:
    """Return a network of NETWORKS whose weights are sines of their positions, scaled by their fan-in."""
    network = build_network(NETWORKS[name]).eval()
    with torch.no_grad():
        for number, (key, tensor) in enumerate(network.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            wave = np.sin(12.9898 * np.arange(tensor.numel()) + 78.233 * number).reshape(tensor.shape)
            if tensor.ndim > 1:
                value = wave * math.sqrt(6 / (tensor[0].numel()))
            elif key.endswith("running_var"):
                value = 1 + 0.5 * wave**2
            else:  # the scale of a normalisation is around 1, its shift and mean and any bias around 0
                value = 0.1 * wave + float(_is_scale(network, key))
            tensor.copy_(torch.from_numpy(value.astype(np.float32)))
    return network


def _is_scale(network: SegmentationNetwork, key: str) -> bool:
    owner, _, last = key.rpartition(".")
    return last == "weight" and not isinstance(network.get_submodule(owner), torch.nn.Conv2d | torch.nn.ConvTranspose2d)


def first_image() -> NDArray[np.uint8]:
    """Return the first stored fundus image (64, 64, 3)."""
    return read_image(min((DATA["fundus"] / "test" / "images").iterdir()))


def logits_of(name: str) -> NDArray[np.float32]:
    """Return the logits (C, 61, 45) of a network of NETWORKS."""
    images = torch.from_numpy(normalise(first_image()[:61, :45], Preprocessing())[None])
    with torch.inference_mode():
        logits: NDArray[np.float32] = formula_network(name)(images)[0].numpy()
    return logits


def predictor_of(name: str, threshold: float | None = None) -> Predictor:
    """Return a predictor of PREDICTIONS."""
    settings = dict(PREDICTIONS[name])
    network = formula_network(settings.pop("network"))
    places = {key: settings.pop(key) for key in ("crop", "size", "field_of_view_diameter_px") if key in settings}
    channels = network.head.out_channels

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return logits

    return Predictor(
        run,
        classes=default_classes(max(2, int(channels))),  # type: ignore[call-overload]
        preprocessing=Preprocessing(**places, multiple=network.multiple),
        threshold=threshold,
        **settings,
    )


def evaluation_of(name: str) -> Evaluation:
    """Return the evaluation of a fixed rule on the stored pictures of `fundus` (2 classes) or `eye` (more)."""
    checked = check_index(build_index(DATA[name]), workers=1)
    assert checked.classes is not None
    assert checked.encoding is not None
    assert not checked.findings.has_errors
    colours = [_mean_colour(name, class_id) for class_id in range(len(checked.classes))]
    predictor = Predictor(
        (lambda images: _darker_than_around(_bytes_of(images)))
        if name == "fundus"
        else (lambda images: _nearest_colour(_bytes_of(images), colours)),
        classes=checked.classes,
        preprocessing=Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), multiple=1),
        threshold=0.62 if name == "fundus" else None,
    )
    records = checked.index.of_split("test")
    return evaluate_records(predictor, records, checked.encoding, split="test", workers=1)


def _bytes_of(images: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(images * 255).astype(np.int64)


def _darker_than_around(values: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits (N, 1, H, W): how much darker the green of a pixel is than that of the 9 x 9 around it."""
    green = np.pad(values[:, 1], ((0, 0), (4, 4), (4, 4)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(green, (9, 9), axis=(1, 2)).sum(axis=(3, 4))
    return (np.rint(16 * (around / 81 - values[:, 1])) / 64)[:, None].astype(np.float32)


def _nearest_colour(values: NDArray[np.int64], colours: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Logits (N, C, H, W): the closer to the mean colour of a class, the higher."""
    distances = [((values - colour[:, None, None]) ** 2).sum(axis=1) for colour in colours]
    return (-np.rint(np.stack(distances, axis=1) / 16) / 64).astype(np.float32)


def _mean_colour(name: str, class_id: int) -> NDArray[np.int64]:
    pixels = []
    for folder in sorted((DATA[name] / "test" / "images").iterdir()):
        mask = read_mask(_mask_of(folder)).values
        pixels.append(read_image(folder)[mask == class_id])
    mean: NDArray[np.int64] = np.rint(np.concatenate(pixels).astype(np.float64).mean(axis=0)).astype(np.int64)
    return mean


def _mask_of(image: Path) -> Path:
    names = (f"{image.stem}_mask.png", f"{image.stem.replace('image', 'mask')}.png")
    folder = image.parent.with_name("masks")
    return next(folder / name for name in names if (folder / name).exists())


def draw_pictures() -> None:
    """Draw both sets anew: three pictures each, and a second observer's masks for the fundus images."""
    for folder in DATA.values():
        shutil.rmtree(folder, ignore_errors=True)
    write_fundus_set(DATA["fundus"], {"test": 3}, seed=SEED, size=64)
    write_eye_set(DATA["eye"], {"test": 3}, seed=SEED, size=48)
    classes = default_classes(2)
    second = DATA["fundus"] / "test" / "masks_2nd"
    second.mkdir()
    for path in sorted((DATA["fundus"] / "test" / "masks").iterdir()):
        moved = np.roll(read_mask(path).values.astype(np.uint8), 1, axis=1)
        write_mask(second / path.name, moved, classes)


def widest_gap(probabilities: NDArray[np.float32]) -> float:
    """Return the threshold in the widest gap between probabilities near the median: the last bits cannot matter."""
    ordered = np.unique(probabilities.astype(np.float64))
    ordered = ordered[len(ordered) // 4 : 3 * len(ordered) // 4]
    at = int(np.argmax(np.diff(ordered)))
    return round(float(ordered[at] + ordered[at + 1]) / 2, 6)


def predictions() -> Mapping[str, NDArray[Any]]:
    """Return the arrays of `predictions.npz`."""
    found: dict[str, NDArray[Any]] = {}
    for name in PREDICTIONS:
        image = first_image()
        threshold = None
        predictor = predictor_of(name)
        if len(predictor.classes) == 2:
            threshold = widest_gap(predictor.probabilities(image))
            predictor = predictor_of(name, threshold)
        result = predictor(image)
        shares = np.bincount(result.mask.ravel(), minlength=len(predictor.classes)) / result.mask.size
        print(f"{name}: threshold {threshold}, class shares {shares.round(3).tolist()}, margin {margin(result):.1e}")
        found |= {f"{name}_probabilities": result.probabilities, f"{name}_mask": result.mask}
        found[f"{name}_threshold"] = np.array(np.nan if threshold is None else threshold)
    return found


def margin(result: Any) -> float:
    """Return how far the probability of the least certain pixel is from another decision."""
    if result.threshold is not None:
        return float(np.abs(result.probabilities - result.threshold).min())
    first, second = np.sort(result.probabilities, axis=0)[::-1][:2]
    return float((first - second).min())


def main() -> None:
    """Write the expected results beside this file."""
    if "--pictures" in sys.argv[1:]:
        draw_pictures()
    np.savez_compressed(HERE / "logits.npz", **{name: logits_of(name) for name in NETWORKS})
    np.savez_compressed(HERE / "predictions.npz", **predictions())
    for name in DATA:
        write_json(HERE / f"metrics_{name}.json", json.loads(json.dumps(evaluation_of(name).to_json())))


if __name__ == "__main__":
    main()
