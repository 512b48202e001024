"""The using half where only the base install is: no PyTorch, no Lightning, no ONNX."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocuseg.training.run import Run

Program = Callable[..., Any]

WITHOUT = """
import sys
from importlib.machinery import PathFinder

MISSING = {
    "torch", "torchvision", "pytorch_lightning", "lightning_fabric", "lightning", "torchmetrics", "monai", "onnx",
    "onnxscript", "onnx_ir", "safetensors", "tensorboardX", "openvino",
}

class Without:
    find_distributions = PathFinder.find_distributions

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in MISSING else PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def base_program() -> Program:
    """A function that runs `ocuseg ARGUMENTS` in a process in which the packages of the extras cannot be imported."""

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", f"{WITHOUT}\nfrom ocuseg.cli import main\nmain()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    return run


def _complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said on stderr, but for the line on what computes."""
    return [line for line in done.stderr.splitlines() if not line.startswith("runtime onnxruntime fp32, threads ")]


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["torch", "pytorch_lightning", "monai", "onnx", "safetensors"])
def test_the_packages_are_not_there(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT}\nimport {name}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr


@pytest.mark.slow
def test_evaluate_gives_the_same_scores(
    trained: Run, drawn: Path, program: Program, base_program: Program, tmp_path: Path
) -> None:
    full = program("evaluate", trained.bundle, drawn, "--out", tmp_path / "full")
    base = base_program("evaluate", trained.bundle, drawn, "--out", tmp_path / "base")
    assert (full.returncode, _complaints(full)) == (0, [])
    assert (base.returncode, _complaints(base)) == (0, [])
    assert "vessel" in base.stdout
    assert base.stdout.replace(str(tmp_path / "base"), "") == full.stdout.replace(str(tmp_path / "full"), "")
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("full", "base")]
    for one in metrics:  # the folder that was named, and what is installed
        del one["command"], one["versions"]
    assert metrics[0] == metrics[1]
    assert metrics[1]["classes"][0]["dice"]["pooled"] > 0.5


@pytest.mark.slow
def test_predict_gives_the_same_masks(
    trained: Run, drawn: Path, program: Program, base_program: Program, tmp_path: Path
) -> None:
    images = drawn / "test" / "images"
    for run, name in ((program, "full"), (base_program, "base")):
        done = run("predict", trained.bundle, images, "--out", tmp_path / name, "--overlay", "--probabilities")
        assert (done.returncode, _complaints(done)) == (0, [])
        assert done.stdout == f"wrote 3 masks, areas.csv and measures.csv to {tmp_path / name}\n"
    base, full = _content(tmp_path / "base"), _content(tmp_path / "full")
    assert base.pop("predicted.jsonl").count(b"\n") == full.pop("predicted.jsonl").count(b"\n") == 4  # in no order
    assert base == full
    assert len(base) == 11  # three masks, overlays and probabilities, the areas and the measures
    for path in images.iterdir():
        assert set(np.unique(np.array(Image.open(tmp_path / "base" / path.name)))) == {0, 1}


@pytest.mark.slow
def test_the_other_commands_work_or_say_what_is_missing(trained: Run, drawn: Path, base_program: Program) -> None:
    for arguments in (("check", drawn), ("recipes",), ("models",), ("doctor",)):
        done = base_program(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    done = base_program("train", drawn, "--out", "never")
    assert done.returncode == 2
    assert done.stderr == (
        "ocuseg: training needs torch, pytorch_lightning, monai, onnxscript; pip install 'ocuseg[train]'\n"
    )
    for runtime, package in (("pytorch", "ocuseg[train]"), ("openvino", "ocuseg[openvino]")):
        done = base_program(
            "predict", trained.bundle, drawn / "test" / "images", "--out", "never", "--runtime", runtime
        )
        assert done.returncode == 2
        assert done.stderr.endswith(f"is not installed; run: pip install '{package}'\n")
        assert done.stderr.count("\n") == 1
    assert not Path("never").exists()
