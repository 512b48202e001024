"""`docs/keras.md` as it stands: bundles converted, and run under TensorFlow and LiteRT.

`make test-keras` makes the environment, `.venv-keras`, in which the page's commands and code are run. Without it these
tests are skipped.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from ocuseg.bundle import Bundle, BundleInfo
from ocuseg.classes import default_classes
from ocuseg.images import write_image
from ocuseg.index import Record
from ocuseg.networks import build_network, resolve_network
from ocuseg.phantom import draw_eye, draw_fundus
from ocuseg.prediction import open_predictor
from ocuseg.training.export import export_bundle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
BIN = ROOT / ".venv-keras" / ("Scripts" if os.name == "nt" else "bin")

MOST_DIFFERENCE = 1e-3
LEAST_AGREEMENT = 0.999

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BIN.parent / ".keras").exists(), reason="no TensorFlow: 'make test-keras' installs it"),
]


def _block(language: str, word: str) -> str:
    """Return the one block of code of the page that is in a language and holds a word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    (found,) = (block for block in blocks if word in block)
    return found


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the other environment in `folder`, as if it were activated, with one thread."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def _convert(folder: Path, block: str, shape: str = "") -> subprocess.CompletedProcess[str]:
    """Run the commands of a block, up to one that fails; `shape` takes the place of the page's 1,3,320,320."""
    for line in block.replace("\\\n", " ").splitlines():
        words = [shape if word == "1,3,320,320" else word for word in shlex.split(line, comments=True)]
        if words[0] == "cp":
            shutil.copy(folder / words[1], folder / words[2])
            continue
        done = _run(folder, *words)
        if done.returncode != 0:
            break
    return done


def _python(folder: Path, block: str, **kept: str) -> Any:
    """Run a block of Python and return the values of the expressions `kept` at its end."""
    saved = ", ".join(f"{name}={expression}" for name, expression in kept.items())
    (folder / "page.py").write_text(f"{block}\nimport numpy\nnumpy.savez('kept.npz', {saved})\n", encoding="utf-8")
    done = _run(folder, "python", "page.py")
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / "kept.npz")


def _bundle(folder: Path, network: dict[str, Any], num_classes: int, preprocessing: dict[str, Any]) -> Bundle:
    """A bundle of random weights beside the drawn image `eye.png`; its mask holds more than one class."""
    image = folder / "eye.png"
    drawn = (draw_fundus if num_classes == 2 else draw_eye)(7, (150, 180))
    write_image(image, drawn.image)
    classes = default_classes(num_classes)
    settings = resolve_network(network | {"out_channels": classes.out_channels})
    torch.manual_seed(0)
    built = build_network(settings).train()
    with torch.no_grad():
        for _ in range(30):  # the statistics of the norms settle
            built(torch.randn(4, 3, 64, 64))
    info = BundleInfo(
        name="random",
        network=settings,
        classes=classes.to_list(),
        preprocessing={"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "multiple": built.multiple} | preprocessing,
        prediction={"tile_px": 1024, "overlap_px": 128, "flips": False},
        threshold=0.43 if num_classes == 2 else None,
        threshold_chosen_on="val" if num_classes == 2 else None,
        trained_on={},
        scores={},
        licence="none",
        ocuseg_version="0",
    )
    return export_bundle(built, info, folder / "bundle", records=[Record("eye", image)])


def _logits(bundle: Bundle, images: Any) -> Any:
    session = onnxruntime.InferenceSession(bundle.onnx_path, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A U-Net of two classes, converted for images of 90 x 120, which are padded to 96 x 120."""
    folder = tmp_path_factory.mktemp("unet")
    settings = {"name": "unet-small", "width": 8}
    bundle = _bundle(folder, settings, 2, {"crop": "field_of_view", "size": [90, 120]})
    done = _convert(folder, _block("sh", "make_dynamic_shape_fixed"), shape="1,3,96,120")
    assert done.returncode == 0, done.stderr[-3000:]
    return bundle


def _require_litert_agrees(bundle: Bundle, shape: tuple[int, ...]) -> None:
    """Run the page's steps on `eye.png`: they shall make images of `shape`, and the bundle's own logits and mask."""
    folder = bundle.folder.parent
    kept = _python(folder, _block("python", "Interpreter"), images="images", logits="logits", mask="mask")
    assert kept["images"].shape == shape
    expected = _logits(bundle, kept["images"].transpose(0, 3, 1, 2))[0]
    assert kept["logits"].shape == expected.shape
    assert np.abs(kept["logits"] - expected).max() < MOST_DIFFERENCE
    mask = open_predictor(bundle)(folder / "eye.png").mask
    assert len(np.unique(mask)) > 1
    assert (kept["mask"] == mask).mean() > LEAST_AGREEMENT


def test_keras_gives_the_same_logits_and_masks(unet: Bundle) -> None:
    folder = unet.folder.parent
    images = np.random.default_rng(0).normal(size=(2, 3, 96, 120)).astype(np.float32)
    np.save(folder / "images.npy", images)
    block = _block("python", "import keras")
    kept = _python(folder, block, logits="under_keras(numpy.load('images.npy'))", mask="result.mask")
    assert np.abs(kept["logits"] - _logits(unet, images)).max() < MOST_DIFFERENCE
    assert (kept["mask"] == open_predictor(unet)(folder / "eye.png").mask).mean() > LEAST_AGREEMENT


def test_litert_step_by_step_gives_the_same_logits_and_masks(unet: Bundle) -> None:
    _require_litert_agrees(unet, (1, 96, 120, 3))


def test_a_model_of_any_size(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, {"name": "unet-small", "width": 8}, 2, {})
    done = _convert(tmp_path, _block("sh", "cp bundle/model.onnx"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "network.onnx").read_bytes() != bundle.onnx_path.read_bytes(), "then no copy is needed"
    _require_litert_agrees(bundle, (1, 152, 184, 3))


def test_an_hrnet_with_the_attention_that_needs_a_fixed_size(tmp_path: Path) -> None:
    settings = {"name": "hrnet", "variant": "small-v1", "attention": "cbam"}
    bundle = _bundle(tmp_path, settings, 3, {"size": [96, 128]})
    assert _convert(tmp_path, _block("sh", "cp bundle/model.onnx")).returncode != 0
    done = _convert(tmp_path, _block("sh", "make_dynamic_shape_fixed"), shape="1,3,96,128")
    assert done.returncode == 0, done.stderr[-3000:]
    _require_litert_agrees(bundle, (1, 96, 128, 3))
