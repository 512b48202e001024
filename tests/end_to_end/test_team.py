"""Two processes on this machine, which train together by gloo."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback

import ocuseg
from end_to_end.team_callbacks import Killed, Refusing
from ocuseg.errors import DataError, ResumeError, TrainingError, UsageError
from ocuseg.training.run import Run

Train = Callable[..., Run]
Differences = Callable[[Path, Path], list[str]]

# No batch norms, which see the batch of their own process; all else that has a say in a step.
SETTINGS = (
    "network.norm=group",
    "precision=fp32",
    "epochs=2",
    "steps_per_epoch=3",
    "sampler=balanced",
    "crop_px=48",
    "augmentation.elastic=0.02",
    "augmentation.mix_colours=0.5",
    "loss={bce: 1, dice: 1, tversky: 0.5, focal: 0.5, cldice: 0.5, skeleton_recall: 0.5}",
    "sample_pictures=2",
    "early_stopping=10",
    "keep_every=2",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def train_small(drawn: Path, tiny: tuple[str, ...]) -> Train:
    """Train on `drawn` without the export: train_small(folder, *overrides, ...)."""

    def train(folder: Path, *overrides: str, **arguments: Any) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ocuseg.training.completion.complete_run", lambda *_: _Completed())
            if "resume" in arguments:
                return ocuseg.train(**arguments)
            settings = (*tiny, *SETTINGS, *overrides)
            return ocuseg.train(drawn, "retina-unet256", out=folder, overrides=settings, **arguments)

    return train


class _Completed:
    dead = ()


@pytest.fixture(scope="module")
def pair(train_small: Train, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two processes with batches of 2; not to be changed."""
    return train_small(tmp_path_factory.mktemp("pair") / "run", "batch_size=2", devices=2)


@pytest.fixture(scope="module")
def killed(train_small: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the same run, of which one process was killed in epoch 2, and what was said of it."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(TrainingError) as error:
        train_small(folder, "batch_size=2", devices=2, callbacks=[Killed()])
    return folder, str(error.value)


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _assert_alike(first: Path, second: Path) -> None:
    """The same counts in validation, and the same losses but for rounding."""
    rows = list(zip(_rows(first), _rows(second), strict=True))
    assert len(rows) == 2
    for one, other in rows:
        for key in ("epoch", "learning_rate", "val_dice", "val_iou", "val_foreground_share"):
            assert one[key] == other[key], key
        for key in ("train_loss", "val_loss"):
            assert float(one[key]) == pytest.approx(float(other[key]), rel=1e-5), key


def test_two_processes_train_as_one_with_the_double_batch(pair: Run, train_small: Train, tmp_path: Path) -> None:
    alone = train_small(tmp_path / "alone", "batch_size=4")
    _assert_alike(alone.folder, pair.folder)
    assert alone.history[0]["train_loss"] != alone.history[1]["train_loss"]
    first, second = (
        torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (alone, pair)
    )
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=1e-3, atol=1e-5)
    # The leader alone writes, and writes all that one process does.
    names = [
        sorted(path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if "tfevents" not in path.name)
        for run in (alone, pair)
    ]
    assert names[0] == names[1]
    assert len(list((pair.folder / "tensorboard").iterdir())) == 1
    assert len(list((pair.folder / "samples").iterdir())) == 4
    assert (alone.processes, pair.processes) == (1, 2)


def test_a_run_goes_on_exactly_after_one_process_was_killed(
    pair: Run, killed: tuple[Path, str], train_small: Train, differences: Differences, tmp_path: Path
) -> None:
    folder, message = killed
    assert message.startswith("process 1 of 2 was killed (signal 9)")
    assert "\n" not in message
    assert [row["epoch"] for row in _rows(folder)] == ["1"]
    shutil.copytree(folder, tmp_path / "run")
    run = train_small(tmp_path / "run", resume=tmp_path / "run", devices=2)
    assert differences(pair.folder, run.folder) == []


def test_a_run_goes_on_with_another_number_of_processes(
    pair: Run, killed: tuple[Path, str], train_small: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(killed[0], tmp_path / "run")
    with pytest.raises(ResumeError, match="was begun by 2 processes with 2 images each, 4 a step, which 3 cannot"):
        train_small(tmp_path / "run", resume=tmp_path / "run", devices=3)
    with caplog.at_level(logging.INFO, "ocuseg"):
        run = train_small(tmp_path / "run", resume=tmp_path / "run")
    assert "begun by 2 processes: 4 images a step, as then" in caplog.text
    _assert_alike(pair.folder, run.folder)


def test_what_stops_one_process_is_said_by_the_first(train_small: Train, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        train_small(tmp_path / "run", devices=2, callbacks=[Refusing()])
    assert str(error.value) == "eye.png: is upside down; turn it"
    assert not torch.distributed.is_initialized()


def test_a_callback_of_the_script_itself_is_refused(
    train_small: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(Callback):
        pass

    for module, reason in (("__main__", "is defined in the script or notebook itself"), (__name__, "cannot be handed")):
        monkeypatch.setattr(Own, "__module__", module)
        with pytest.raises(UsageError, match=f"Own: {reason}"):
            train_small(tmp_path / "run", devices=2, callbacks=[Own()])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": 0}, "--devices 0"),
        ({"devices": 2, "num_nodes": 2}, "is not HOST:PORT of the first machine"),
        ({"node_rank": 1}, "for the rank one from 0"),
        ({"main_address": "10.0.0.1:29500"}, "is of several machines; give --num-nodes"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    train_small: Train, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train_small(tmp_path / "run", **arguments)


def test_torchrun_starts_the_processes_and_one_of_them_speaks(
    drawn: Path, tiny: tuple[str, ...], one_thread: dict[str, str], tmp_path: Path
) -> None:
    import subprocess
    import sys

    settings = (*tiny, "batch_size=2", "epochs=1", "steps_per_epoch=2")
    options = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "ocuseg", "train", str(drawn),
         "--recipe", "retina-unet256", "--cache", "off", "--out", str(tmp_path / "run"), *options],
        env=one_thread, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("epoch 1/1")] != []
    assert len([line for line in lines if line.startswith("epoch 1/1")]) == 1
    assert "2 processes, each with 2 images of a step" in done.stderr
    assert len(_rows(tmp_path / "run")) == 1
    described = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert described["trained_on"]["processes"] == 2
    assert done.stdout.count("wrote ") <= 1  # none where the network is dead, which two steps may leave
