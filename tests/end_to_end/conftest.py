from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import ocuseg
from ocuseg.phantom import write_fundus_set
from ocuseg.training.run import Run

TINY = (
    "preprocessing.size=[64, 64]",
    "network={name: unet-small, width: 4, depth: 2}",
    "batch_size=4",
    "steps_per_epoch=2",
    "prediction.flips=false",
)
"""Overrides that make a recipe train in seconds, and learn little."""

ENOUGH = (
    "preprocessing.size=[96, 96]",
    "network={name: unet-small, width: 8, depth: 2}",
    "batch_size=4",
    "steps_per_epoch=2",
    "epochs=60",
    "learning_rate=0.01",
    "precision=fp32",
    "prediction.flips=false",
)
"""Overrides with which a run on `drawn` takes seconds and learns what vessels are."""

Train = Callable[..., Run]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of drawn fundus images: 8 to train, 3 to validate, 3 to test, 96 x 96."""
    return write_fundus_set(
        tmp_path_factory.mktemp("drawn") / "set", {"train": 8, "val": 3, "test": 3}, seed=3, size=96
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread_here() -> Iterator[None]:
    """One thread: tensors as small as these only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def one_thread() -> dict[str, str]:
    """The environment for a program that shall train with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """`TINY`, for the test modules, which cannot import it."""
    return TINY


@pytest.fixture(scope="session")
def enough() -> tuple[str, ...]:
    """`ENOUGH`, for the test modules, which cannot import it."""
    return ENOUGH


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on `drawn` that learnt something; not to be changed."""
    return ocuseg.train(drawn, "retina-unet256", out=tmp_path_factory.mktemp("trained") / "run", overrides=ENOUGH)


@pytest.fixture
def train_only(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """`ocuseg.train` on `drawn` with tiny settings and without the export: train_only(folder, *overrides, ...)."""
    completed = SimpleNamespace(bundle=None, dead=())
    monkeypatch.setattr("ocuseg.training.completion.complete_run", lambda *arguments: completed)

    def train(folder: Path, *overrides: str, **arguments: Any) -> Run:
        if "resume" in arguments:
            return ocuseg.train(**arguments)
        return ocuseg.train(drawn, "retina-unet256", out=folder, overrides=(*TINY, *overrides), **arguments)

    return train


@pytest.fixture(scope="session")
def differences() -> Callable[[Path, Path], list[str]]:
    """`differences` of kill_and_resume.py: what differs between two runs, but for the times."""
    spec = importlib.util.spec_from_file_location("kill_and_resume", Path(__file__).with_name("kill_and_resume.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    found: Callable[[Path, Path], list[str]] = module.differences
    return found


@pytest.fixture(scope="session")
def program(one_thread: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `python -m ocuseg ARGUMENTS` and waits for it."""

    def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ocuseg", *map(str, arguments)]
        return subprocess.run(command, env=one_thread, capture_output=True, text=True, check=False, timeout=300)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout, for those who have it."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images in ../shared/data are not on this machine")
    return folder
