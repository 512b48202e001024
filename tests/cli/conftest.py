"""A small world of data, a bundle, a run and evaluations, and the command line called inside this process."""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from ocuseg import cli, commands
from ocuseg.bundle import BundleInfo, write_bundle
from ocuseg.classes import Classes, parse_classes
from ocuseg.errors import DeadNetworkError
from ocuseg.phantom import eye_classes, write_eye_set, write_fundus_set

TINY = ("preprocessing.size=[32, 32]", "network={name: unet-small, width: 4, depth: 2}", "epochs=1")
"""Overrides that make a recipe train in a second, and learn nothing."""


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


Command = Callable[[str], Answer]


@pytest.fixture
def ocuseg() -> Iterator[Command]:
    """A function that runs `ocuseg ARGUMENTS` in this process, as `python -m ocuseg ARGUMENTS` would."""
    logger = logging.getLogger("ocuseg")
    before = logger.handlers, logger.propagate, logger.level

    def run(arguments: str) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "argv", ["ocuseg", *shlex.split(arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as stopped,
        ):
            cli.main()
        return Answer(int(stopped.value.code or 0), out.getvalue(), err.getvalue())

    yield run
    logger.handlers, logger.propagate, logger.level = before


@pytest.fixture
def world(tmp_path: Path, _made_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder: `data/`, `bundle/`, `run/`, `first/` and `second/` (evaluations), `mine/`, `file.txt`.

    `eyes/` and `eye-bundle/` have five classes, in the layout `eyes/{train,val}/{images,masks}`.
    """
    folder = tmp_path / "world"
    shutil.copytree(_made_once, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "world"
    data = write_fundus_set(folder / "data", {"train": 4, "val": 2, "test": 3}, seed=5, size=64)
    bundle = _dark_lines(folder / "bundle")
    with contextlib.suppress(DeadNetworkError):
        commands.train(data, "retina-unet256", out=folder / "run", overrides=TINY)
    for name, flips in (("first", False), ("second", True)):
        commands.evaluate(bundle, data, out=folder / name, flips=flips)
    write_eye_set(folder / "eyes", {"train": 4, "val": 2}, seed=1, size=64)
    _bright_parts(folder / "eye-bundle")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("years of work\n")
    (folder / "file.txt").write_text("a file\n")
    return folder


def _dark_lines(folder: Path) -> Path:
    """A bundle of one convolution that calls a pixel vessel where its green is below that of its surroundings."""
    kernel = np.zeros((1, 3, 7, 7))
    kernel[0, 1] = 1 / 49
    kernel[0, 1, 3, 3] -= 1
    classes = parse_classes([{"id": 0, "name": "background"}, {"id": 1, "name": "vessel", "colour": "#56b4e9"}])
    return _bundle(folder, "dark-lines", classes, 30 * kernel, threshold=0.6, threshold_chosen_on="val")


def _bright_parts(folder: Path) -> Path:
    """A bundle of five classes that are told apart, not very well, by red, green and blue."""
    kernel = np.array([[9, 0, 0], [0, 8, 0], [3, 3, 2], [4, 0, 4], [0, 2, 7]])[:, :, np.newaxis, np.newaxis]
    rows = eye_classes().to_list()
    rows[3]["parent"] = "pupil"
    return _bundle(folder, "bright-parts", parse_classes(rows), kernel, threshold=None, threshold_chosen_on=None)


def _bundle(folder: Path, name: str, classes: Classes, kernel: np.ndarray, **decision: Any) -> Path:
    info = BundleInfo(
        name=name,
        network={"name": "unet-small", "out_channels": classes.out_channels},
        classes=classes.to_list(),
        preprocessing={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "multiple": 4},
        prediction={"tile_px": 256, "overlap_px": 16, "flips": False},
        trained_on={},
        scores={},
        licence="Apache-2.0",
        ocuseg_version="0.1.0",
        **decision,
    )
    return write_bundle(folder, info, onnx_model=_convolution(kernel), weights=b"none")


def _convolution(kernel: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("Conv", ["images", "kernel"], ["logits"], pads=[kernel.shape[2] // 2] * 4)
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", kernel.shape[0], "h", "w"])],
        [numpy_helper.from_array(kernel.astype(np.float32), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
