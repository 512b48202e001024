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
from unittest import mock

import pytest

from ocuseg import cli, commands
from ocuseg.errors import DeadNetworkError
from ocuseg.phantom import eye_classes, write_eye_set, write_fundus_set
from tiny_bundles import bright_parts, dark_lines

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
    bundle = dark_lines(folder / "bundle", measures=[])
    with contextlib.suppress(DeadNetworkError):
        commands.train(data, "retina-unet256", out=folder / "run", overrides=TINY)
    for name, flips in (("first", False), ("second", True)):
        commands.evaluate(bundle, data, out=folder / name, flips=flips)
    write_eye_set(folder / "eyes", {"train": 4, "val": 2}, seed=1, size=64)
    parts = eye_classes().to_list()
    parts[3]["parent"] = "pupil"
    bright_parts(folder / "eye-bundle", parts)
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("years of work\n")
    (folder / "file.txt").write_text("a file\n")
    return folder
