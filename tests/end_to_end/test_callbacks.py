"""What happens around the epochs: callbacks of one's own, pictures, statistics, weights that are no numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback

import ocuseg
from ocuseg.errors import LossError, OcusegError, UsageError
from ocuseg.phantom import write_eye_set
from ocuseg.training.callbacks import read_checkpoint
from ocuseg.training.run import Run

Train = Callable[..., Run]
Differences = Callable[[Path, Path], list[str]]


class Counter(Callback):
    """Counts what it is told of, keeps the count in the checkpoint, and presses Ctrl-C in the epoch `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.counts = {"fit": 0, "batches": 0, "validations": 0, "epochs": 0}
        self.seen_by_then = -1

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.counts["fit"] += 1

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.current_epoch + 1 == self.stop:
            raise KeyboardInterrupt
        self.counts["batches"] += 1

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.counts["validations"] += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        assert {"train_loss", "val_loss", "val_dice", "val_iou"} <= set(trainer.callback_metrics)
        self.counts["epochs"] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = dict(state_dict["counts"])
        self.seen_by_then = self.counts["epochs"]


def test_a_callback_of_ones_own_is_called_and_its_state_survives_a_resume(train_only: Train, tmp_path: Path) -> None:
    stopped = Counter(stop=3)
    with pytest.raises(KeyboardInterrupt):
        train_only(tmp_path / "run", "epochs=4", callbacks=[stopped])
    assert stopped.counts == {"fit": 1, "batches": 4, "validations": 2, "epochs": 2}
    resumed = Counter()
    train_only(tmp_path / "run", resume=tmp_path / "run", callbacks=[resumed])
    assert resumed.seen_by_then == 2
    assert resumed.counts == {"fit": 2, "batches": 8, "validations": 4, "epochs": 4}


class LargestNorm(Callback):
    """Sees the gradients as the optimiser took them."""

    norm = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        gradients = [parameter.grad for parameter in module.network.parameters() if parameter.grad is not None]
        self.norm = max(self.norm, float(torch.nn.utils.get_total_norm(gradients)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_are_clipped_by_their_norm(train_only: Train, tmp_path: Path, precision: str) -> None:
    for name, most in (("as they are", None), ("clipped", 1e-3)):
        largest = LargestNorm()
        overrides = [f"precision={precision}", *([] if most is None else [f"gradient_clip={most}"])]
        train_only(tmp_path / name, "epochs=1", *overrides, callbacks=[largest])
        assert largest.norm == pytest.approx(most, rel=1e-3) if most else largest.norm > 0.01


class Enough(Callback):
    """Ends the run after its second epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        trainer.should_stop = trainer.current_epoch == 1


@pytest.mark.parametrize("callbacks", [[Enough()], []], ids=["given again", "left out"])
def test_a_run_that_a_callback_ended_stays_ended(
    train_only: Train, tmp_path: Path, callbacks: list[Callback], caplog: pytest.LogCaptureFixture
) -> None:
    run = train_only(tmp_path / "run", "epochs=4", callbacks=[Enough()])
    history = (run.folder / "history.csv").read_bytes()
    assert len(run.history) == 2
    with caplog.at_level("INFO", logger="ocuseg"):
        train_only(tmp_path / "run", resume=tmp_path / "run", callbacks=callbacks)
    assert (run.folder / "history.csv").read_bytes() == history
    assert f"{run}: was ended after epoch 2 of 4; to train on, start a new run --from it" in caplog.messages


class Stop(Callback):
    """Presses Ctrl-C in the third epoch, and keeps nothing."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


class PoisonTheLast(Callback):
    """Makes a gradient NaN in the last step of an epoch, which no training loss of that epoch sees."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: Any, optimizer: Any) -> None:
        if trainer.global_step + 1 == self.epoch * trainer.num_training_batches:
            module.network.head.weight.grad.fill_(float("nan"))


@pytest.mark.parametrize("averaging", ["weight_averaging=0", "weight_averaging=0.99"])
def test_weights_that_become_nan_in_the_last_step_are_not_kept(
    train_only: Train, tmp_path: Path, averaging: str
) -> None:
    with pytest.raises(LossError, match=r"^epoch 2: after its last step the network's output is no number"):
        train_only(tmp_path / "run", "epochs=4", averaging, "keep_every=1", callbacks=[PoisonTheLast(2)])
    kept = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert kept["epoch"] == 0
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    assert [row["epoch"] for row in Run(tmp_path / "run").history] == [1]
    assert len(list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))) == 1


class FirstNorm(Callback):
    """Keeps the mean of the first batch norm as it is validated, and the mean of what it is given of 64 images."""

    def __init__(self) -> None:
        self.found: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.tracked: list[int] = []

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index:
            return
        norm = next(each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d))
        convolution = next(each for each in module.modules() if isinstance(each, torch.nn.Conv2d))
        batches = trainer.train_dataloader.dataset
        means = []
        for step in range(16):  # of 4 images
            images = module.views(batches[trainer.current_epoch, step])[0]
            means.append(convolution((images - module.mean) / module.std).mean(dim=(0, 2, 3)))
        expected = torch.stack(means).mean(dim=0)
        self.found.append((norm.running_mean.clone(), expected))
        assert norm.momentum == 0.1
        self.tracked.append(int(norm.num_batches_tracked))


@pytest.mark.parametrize("averaging", ["weight_averaging=0", "weight_averaging=0.9"])
def test_batch_norms_are_validated_with_statistics_of_their_weights(
    train_only: Train, tmp_path: Path, averaging: str
) -> None:
    first = FirstNorm()
    run = train_only(tmp_path / "run", "epochs=3", "precision=fp32", averaging, callbacks=[first])
    for kept, expected in first.found:
        torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-4)
    assert first.tracked == [2, 4, 6]
    # They are what the checkpoint holds: a bundle has the statistics that were validated.
    last = read_checkpoint(run.folder / "checkpoints" / "last.ckpt")["state_dict"]
    name = next(name for name in last if name.endswith("running_mean"))
    assert torch.equal(last[name], first.found[-1][0])


def test_the_validation_loss_does_not_explode_while_the_weights_move_fast(train_only: Train, tmp_path: Path) -> None:
    run = train_only(tmp_path / "run", "epochs=8", "steps_per_epoch=10", "learning_rate=0.01")
    assert max(row["val_loss"] / row["train_loss"] for row in run.history) < 1.3  # statistics that lag give more than 2


class TestSamplePictures:
    def test_are_drawn_after_every_epoch_and_are_the_same_in_a_resumed_run(
        self, train_only: Train, differences: Differences, tmp_path: Path
    ) -> None:
        whole = train_only(tmp_path / "whole", "epochs=3", "sample_pictures=2")
        with pytest.raises(KeyboardInterrupt):
            train_only(tmp_path / "stopped", "epochs=3", "sample_pictures=2", callbacks=[Stop()])
        stopped = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "stopped" / "samples").iterdir()}
        train_only(tmp_path / "stopped", resume=tmp_path / "stopped")
        assert differences(whole.folder, tmp_path / "stopped") == []
        found = {path.name: path for path in (whole.folder / "samples").iterdir()}
        images = ("img_0009", "img_0011")  # of 3, the middles of two halves
        assert sorted(found) == [f"epoch{epoch:02d}_{name}.jpg" for epoch in (1, 2, 3) for name in images]
        for name, path in found.items():
            again = tmp_path / "stopped" / "samples" / name
            assert again.read_bytes() == path.read_bytes()
            assert name.startswith("epoch03") or again.stat().st_mtime_ns == stopped[name]

    def test_show_the_reference_beside_the_prediction(self, train_only: Train, drawn: Path, tmp_path: Path) -> None:
        run = train_only(tmp_path / "run", "epochs=1", "sample_pictures=9", "preprocessing={size: [96, 96]}")
        pictures = sorted((run.folder / "samples").iterdir())
        assert len(pictures) == 3  # all that there are
        with Image.open(pictures[0]) as picture:
            left, right = np.split(np.asarray(picture).astype(int), 2, axis=1)
        assert left.shape == (96, 96, 3)
        with Image.open(drawn / "validation" / "masks" / "img_0009_mask.png") as mask:
            vessels = np.array(mask) == 1
        with Image.open(drawn / "validation" / "images" / "img_0009.png") as image:
            plain = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(left - plain).sum(axis=2)[vessels].mean() > 2 * np.abs(left - plain).sum(axis=2)[~vessels].mean()
        assert np.abs(left - right).max() > 60  # a network after two steps does not know them

    def test_are_not_drawn_unasked(self, train_only: Train, tmp_path: Path) -> None:
        assert not (train_only(tmp_path / "run", "epochs=1").folder / "samples").exists()


def test_tensorboard_can_be_switched_off(train_only: Train, tmp_path: Path) -> None:
    run = train_only(tmp_path / "run", "epochs=1", "tensorboard=false")
    assert len(run.history) == 1
    assert not (run.folder / "tensorboard").exists()


class TestTheLossThatIsTakenByItself:
    def test_is_written_down(self, train_only: Train, tmp_path: Path) -> None:
        assert train_only(tmp_path / "run", "epochs=1", "loss=auto").recipe.loss == "bce_dice"

    def test_of_more_classes_is_that_of_more(self, train_only: Train, tiny: tuple[str, ...], tmp_path: Path) -> None:
        eyes = write_eye_set(tmp_path / "eyes", {"train": 4, "val": 2}, seed=2, size=64)
        overrides = (*tiny, "preprocessing={size: [64, 64]}", "epochs=1")
        run = ocuseg.train(eyes, "retina-unet256", out=tmp_path / "run", overrides=overrides)
        assert run.recipe.loss == "ce_dice"
        with pytest.raises(UsageError, match="use 'ce', with --set loss=ce_dice"):
            ocuseg.train(eyes, "retina-unet256", out=tmp_path / "wrong", overrides=(*overrides, "loss=bce_dice"))
        assert not (tmp_path / "wrong").exists()


def test_an_auxiliary_weight_too_many_leaves_no_run(train_only: Train, tmp_path: Path) -> None:
    with pytest.raises(OcusegError, match="the network has 0 auxiliary outputs; leave it out"):
        train_only(tmp_path / "run", "epochs=1", "auxiliary_weights=[0.4]")
    assert not (tmp_path / "run").exists()
