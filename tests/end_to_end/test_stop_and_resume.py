"""What stops a run - a user, a full disk, a loss that is no number - and how it goes on."""

from __future__ import annotations

import errno
import re
import shutil
import signal
import subprocess
import sys
import time
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
from ocuseg.errors import LossError, OcusegError, OutputError, ResumeError, UsageError
from ocuseg.training.callbacks import read_checkpoint
from ocuseg.training.run import Run

Train = Callable[..., Run]
Differences = Callable[[Path, Path], list[str]]


class CtrlC(Callback):
    """Presses Ctrl-C after the first step of each of some epochs, once."""

    def __init__(self, *epochs: int) -> None:
        self.epochs = list(epochs)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if self.epochs and trainer.current_epoch + 1 == self.epochs[0]:
            del self.epochs[0]
            raise KeyboardInterrupt


class Poison(Callback):
    """Makes a weight NaN after the first step of an epoch, and notes the images of the next one."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.names: list[str] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, index: int) -> None:
        self.names = batch["names"]

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if (trainer.current_epoch + 1, index) == (self.epoch, 0):
            with torch.no_grad():
                next(module.network.parameters()).fill_(float("nan"))


def _last(run: Path) -> dict[str, Any]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")


def _temporaries(run: Path) -> list[str]:
    return [path.name for path in run.rglob(".*")]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("weight_averaging=0", "optimizer=sgd", "schedule=constant"),
        ("schedule=plateau", "plateau_patience=1", "plateau_factor=0.5", "learning_rate=0.05", "keep_every=1"),
        ("early_stopping=4", "monitor=val_loss", "accumulate=2", "crop_px=48", "sampler=balanced"),
        ("schedule=poly", "sampler=repeat_factor", "encoder_learning_rate_factor=0.1", "sample_pictures=1"),
    ],
    ids=["defaults", "sgd", "plateau", "accumulated", "poly"],
)
def test_a_run_that_was_stopped_twice_ends_as_one_that_was_not(
    train_only: Train, differences: Differences, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    settings = ("epochs=5", "steps_per_epoch=3", *settings)
    whole = train_only(tmp_path / "whole", *settings)
    stopped, ctrl_c = tmp_path / "stopped", CtrlC(2, 5)
    with pytest.raises(KeyboardInterrupt):
        train_only(stopped, *settings, callbacks=[ctrl_c])
    assert [row["epoch"] for row in Run(stopped).history] == [1]
    with pytest.raises(KeyboardInterrupt):
        train_only(stopped, resume=stopped, callbacks=[ctrl_c])
    assert [row["epoch"] for row in Run(stopped).history] == [1, 2, 3, 4]
    train_only(stopped, resume=stopped)
    assert [row["epoch"] for row in Run(stopped).history] == [1, 2, 3, 4, 5]
    assert differences(whole.folder, stopped) == []


def test_a_run_that_was_stopped_before_its_first_checkpoint_still_starts_from_its_model(
    trained: Run, train_only: Train, differences: Differences, tmp_path: Path
) -> None:
    settings = ("preprocessing.size=[96, 96]", "network.width=8", "epochs=1")
    whole = train_only(tmp_path / "whole", *settings, start_from=trained)
    with pytest.raises(KeyboardInterrupt):
        train_only(tmp_path / "stopped", *settings, start_from=trained, callbacks=[CtrlC(1)])
    assert not (tmp_path / "stopped" / "checkpoints" / "last.ckpt").exists()
    resumed = train_only(tmp_path / "stopped", resume=tmp_path / "stopped")
    assert differences(whole.folder, resumed.folder) == []
    fresh = train_only(tmp_path / "fresh", *settings)
    assert differences(whole.folder, fresh.folder)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_leaves_a_run_that_does(
    drawn: Path, tiny: tuple[str, ...], tmp_path: Path, train_only: Train, one_thread: dict[str, str]
) -> None:
    run = tmp_path / "run"
    options = [part for setting in (*tiny, "epochs=500") for part in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
         "from ocuseg.cli import main; main()", "train", str(drawn), "--out", str(run), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=one_thread,
    )  # fmt: skip
    while process.poll() is None and not (run / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == ""
    lines = error.splitlines()
    assert lines[-2:] == [f"go on with: ocuseg train --resume {run}", "ocuseg: interrupted"]
    ours = ("layout: ", "note: ", "run ", "precision ", "unet-small,", "epoch ")
    said = [line for line in lines[:-2] if not line.startswith(ours)]
    assert [line for line in said if "images were decoded before" not in line] == []
    done = len(Run(run).history)
    assert 1 <= done < 500
    assert (run / "curves.png").is_file()
    assert _temporaries(run) == []

    with pytest.raises(KeyboardInterrupt):  # it goes on where it was, and can be stopped again
        train_only(run, resume=run, callbacks=[CtrlC(done + 3)])
    assert [row["epoch"] for row in Run(run).history] == list(range(1, done + 3))


class TestALossThatIsNoNumber:
    def test_stops_the_run_with_the_names_of_the_images(self, train_only: Train, tmp_path: Path) -> None:
        poison = Poison(epoch=2)
        with pytest.raises(LossError) as error:
            train_only(tmp_path / "run", "epochs=4", callbacks=[poison])
        message = str(error.value)
        assert message.startswith("epoch 2, step 2: the loss is nan on the images ")
        assert "\n" not in message
        named = re.search(r"on the images (.*?);", message)
        assert named is not None
        assert named[1].split(", ") == poison.names
        assert len(poison.names) == 4
        assert "lower learning_rate (0.004)" in message

    def test_leaves_the_history_and_the_checkpoint_before_it(self, train_only: Train, tmp_path: Path) -> None:
        with pytest.raises(LossError):
            train_only(tmp_path / "run", "epochs=4", callbacks=[Poison(epoch=3)])
        assert [row["epoch"] for row in Run(tmp_path / "run").history] == [1, 2]
        assert all(value.isfinite().all() for value in _last(tmp_path / "run")["state_dict"].values())


class TestAFullDisk:
    # What the operating system says, and how torch's zip writer puts the same.
    SPACE = OSError(errno.ENOSPC, "No space left on device")
    ZIP = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 98304 vs 98192\nframe #0: somewhere")

    @pytest.mark.parametrize("error", [SPACE, ZIP], ids=["space", "zip"])
    @pytest.mark.parametrize("file", ["best.ckpt", "last.ckpt"])
    def test_leaves_the_last_good_checkpoint_and_a_run_that_goes_on(
        self, train_only: Train, differences: Differences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        error: Exception, file: str,
    ) -> None:  # fmt: skip
        settings = ("epochs=3", "monitor=val_loss", "learning_rate=0.001", "network.norm=instance")
        whole = train_only(tmp_path / "whole", *settings)
        assert _last(whole.folder)["callbacks"]["BestAndLast"]["best_epoch"] == 2  # so that each epoch writes both

        run, save = tmp_path / "run", torch.save

        def half(content: Any, path: Path) -> None:
            save(content, path)
            if content["epoch"] == 1 and f".{file}." in Path(path).name:
                Path(path).write_bytes(Path(path).read_bytes()[: Path(path).stat().st_size // 2])
                raise error

        monkeypatch.setattr("ocuseg.training.callbacks.checkpoints.torch.save", half)
        with pytest.raises(OutputError) as stopped:
            train_only(run, *settings)
        assert str(stopped.value).startswith(f"{run / 'checkpoints' / file}: cannot be written (")
        assert "free space" in str(stopped.value)
        assert "\n" not in str(stopped.value)
        assert _last(run)["epoch"] == 0
        assert read_checkpoint(run / "checkpoints" / "best.ckpt")["epoch"] == (1 if file == "last.ckpt" else 0)
        assert _temporaries(run) == []

        monkeypatch.setattr("ocuseg.training.callbacks.checkpoints.torch.save", save)
        train_only(run, resume=run)
        assert differences(whole.folder, run) == []

    def test_is_what_is_said_even_if_the_curves_cannot_be_drawn_either(
        self, train_only: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise self.SPACE

        def undrawn(*_: Any) -> None:
            raise OutputError("curves.png: cannot be written")

        monkeypatch.setattr("ocuseg.training.callbacks.checkpoints.torch.save", full)
        monkeypatch.setattr("ocuseg.reporting.draw_curves", undrawn)
        with pytest.raises(OutputError, match=r"best\.ckpt: cannot be written \(no space left on device\)"):
            train_only(tmp_path / "run", "epochs=2")

    def test_of_tensorboard_alone_stops_nothing(
        self, train_only: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def full(*_: Any) -> None:
            raise self.SPACE

        monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
        run = train_only(tmp_path / "run", "epochs=12")  # more numbers than a queue of events would hold
        assert len(run.history) == 12
        said = [record.getMessage() for record in caplog.records if record.name == "ocuseg"]
        assert sum("tensorboard: cannot be written (" in message for message in said) == 1


class TestResume:
    @pytest.fixture
    def stopped(self, train_only: Train, drawn: Path, tmp_path: Path, tiny: tuple[str, ...]) -> Path:
        """A run on a copy of `drawn`, stopped in its second epoch."""
        shutil.copytree(drawn, tmp_path / "data")
        with pytest.raises(KeyboardInterrupt):
            ocuseg.train(
                tmp_path / "data", "retina-unet256", out=tmp_path / "run", overrides=(*tiny, "epochs=3"),
                callbacks=[CtrlC(2)],
            )  # fmt: skip
        return tmp_path / "run"

    @pytest.mark.parametrize("change", ["mask", "image", "another image"])
    def test_refuses_changed_data(self, stopped: Path, tmp_path: Path, change: str) -> None:
        training = tmp_path / "data" / "training"
        image, mask = (next(iter(sorted((training / name).iterdir()))) for name in ("images", "masks"))
        if change == "another image":
            for path in (image, mask, training / "field_of_view" / image.name):
                shutil.copy(path, path.with_name(path.name.replace("img_0001", "img_0099")))
            with Image.open(training / "images" / "img_0099.png") as found:
                pixels = np.array(found)
            Image.fromarray(pixels[::-1]).save(training / "images" / "img_0099.png")
        else:
            changed = image if change == "image" else mask
            with Image.open(changed) as found:
                pixels, palette = np.array(found), found.getpalette()
            pixels[48, 48] = 1 - pixels[48, 48] if change == "mask" else 255 - pixels[48, 48]
            picture = Image.fromarray(pixels)
            if palette:
                picture.putpalette(palette)
            picture.save(changed)
        before = (stopped / "checkpoints" / "last.ckpt").read_bytes()
        with pytest.raises(ResumeError, match=r"was trained on other data, .* \(hash \w{12}, now \w{12}\); restore"):
            ocuseg.train(resume=stopped)
        assert (stopped / "checkpoints" / "last.ckpt").read_bytes() == before
        assert len(Run(stopped).history) == 1

    def test_follows_data_that_have_moved(self, stopped: Path, train_only: Train, tmp_path: Path) -> None:
        moved = (tmp_path / "data").rename(tmp_path / "elsewhere")
        with pytest.raises(OcusegError, match="are not there any more; say where they are: ocuseg train DATA --resume"):
            train_only(stopped, resume=stopped)
        assert len(train_only(stopped, resume=stopped, data=moved).history) == 3

    def test_follows_a_run_that_has_moved(
        self, stopped: Path, train_only: Train, differences: Differences, drawn: Path, tmp_path: Path
    ) -> None:
        run = stopped.rename(tmp_path / "moved")
        train_only(run, resume=run)
        whole = train_only(tmp_path / "whole", "epochs=3")
        assert differences(whole.folder, run) == []

    @pytest.mark.parametrize(
        "flags",
        [{"recipe": "vessels"}, {"overrides": ["epochs=9"]}, {"out": "elsewhere"}, {"start_from": "vessels"}],
        ids=lambda flags: next(iter(flags)),
    )
    def test_refuses_another_recipe(self, stopped: Path, flags: dict[str, Any]) -> None:
        with pytest.raises(
            UsageError, match="keeps its recipe and folder; leave out --recipe, --set, --from and --out"
        ):
            ocuseg.train(resume=stopped, **flags)

    @pytest.mark.parametrize(
        ("line", "changed", "said"),
        [
            ("learning_rate: 0.004", "learning_rate: 0.4", "learning_rate"),
            ("epochs: 3", "epochs: 30", "epochs"),
            ("  noise: 0.02", "  noise: 0.2", r"augmentation\.noise"),
            ("  width: 4", "  width: 8", "network"),
        ],
    )
    def test_refuses_a_recipe_that_was_edited(self, stopped: Path, line: str, changed: str, said: str) -> None:
        path = stopped / "recipe.yaml"
        text = path.read_text(encoding="utf-8")
        assert text.count(f"{line}\n") == 1
        path.write_text(text.replace(f"{line}\n", f"{changed}\n"), encoding="utf-8")
        with pytest.raises(
            ResumeError, match=rf"recipe\.yaml: was changed since the run started \({said}\); restore it"
        ):
            ocuseg.train(resume=stopped)

    def test_of_a_run_of_a_version_that_kept_no_recipe_goes_on(self, stopped: Path, train_only: Train) -> None:
        last = stopped / "checkpoints" / "last.ckpt"
        content = read_checkpoint(last)
        del content["ocuseg"]["recipe"]
        torch.save(content, last)
        assert len(train_only(stopped, resume=stopped).history) == 3

    def test_refuses_a_folder_without_a_run(self, drawn: Path, tmp_path: Path) -> None:
        for folder in (drawn, tmp_path, tmp_path / "none"):
            with pytest.raises(ResumeError, match="holds no run; start one with 'ocuseg train DATA --out"):
                ocuseg.train(resume=folder)

    def test_refuses_a_damaged_checkpoint(self, stopped: Path) -> None:
        last = stopped / "checkpoints" / "last.ckpt"
        last.write_bytes(last.read_bytes()[:-1000])
        with pytest.raises(OcusegError, match=r"last\.ckpt: is not a usable checkpoint"):
            ocuseg.train(resume=stopped)

    def test_clears_away_what_a_kill_has_left(self, stopped: Path, train_only: Train) -> None:
        (stopped / "checkpoints" / ".last.ckpt.k1ll3d.tmp.ckpt").write_bytes(b"half a checkpoint")
        (stopped / ".history.csv.k1ll3d.tmp.csv").write_text("epo")
        (stopped / ".bundle.0123456789abcdef.tmp").mkdir()
        (stopped / ".bundle.0123456789abcdef.tmp" / "model.onnx").write_bytes(b"half a network")
        (stopped / ".notes").write_text("the user's own")
        train_only(stopped, resume=stopped)
        assert _temporaries(stopped) == [".notes"]

    def test_of_a_start_that_was_cut_short_is_a_new_start(self, train_only: Train, tmp_path: Path) -> None:
        run = train_only(tmp_path / "run", "epochs=1")
        begun = tmp_path / "begun"
        (begun / "checkpoints").mkdir(parents=True)
        for name in ("split.csv", "findings.json"):  # the recipe is written last
            shutil.copy(run.folder / name, begun / name)
        (begun / ".environment.json.k1ll3d.tmp.json").write_text("{")
        with pytest.raises(ResumeError, match="holds no run; start one"):
            train_only(begun, resume=begun)
        assert len(train_only(begun, "epochs=1").history) == 1
        assert _temporaries(begun) == []
        with pytest.raises(OutputError, match="is not empty"):
            train_only(begun, "epochs=1")

    def test_a_table_of_the_users_own_is_no_start(self, train_only: Train, tmp_path: Path) -> None:
        (tmp_path / "split.csv").write_text("image,note\n")
        with pytest.raises(OutputError, match="is not empty; give another --out"):
            train_only(tmp_path, "epochs=1")
        assert (tmp_path / "split.csv").read_text() == "image,note\n"

    @pytest.mark.slow
    def test_of_a_finished_run_does_not_train_again(self, trained: Run, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(trained.folder, run)
        (run / "bundle" / "model.onnx").unlink()
        ocuseg.train(resume=run)
        for name in ("history.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "bundle/bundle.json"):
            assert (run / name).read_bytes() == (trained.folder / name).read_bytes()
        assert (run / "bundle" / "model.onnx").is_file()
