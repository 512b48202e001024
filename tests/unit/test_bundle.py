from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

import ocuseg.bundle
import ocuseg.folders
from ocuseg.bundle import BundleInfo, find_bundle, load_bundle, model_names, write_bundle
from ocuseg.errors import ModelError, OutputError, UsageError
from ocuseg.prediction import open_predictor

FILES = ["README.md", "bundle.json", "model.onnx", "model.safetensors"]


def edited(folder: Path, **changes: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_written_bundle_is_loaded_as_it_was(bright_red, bright_red_parts):
    folder = bright_red()
    info, onnx_model, weights = bright_red_parts()
    bundle = load_bundle(folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert bundle.info.model_copy(update={"files": {}}) == info
    assert bundle.classes.names == ("background", "foreground")
    assert bundle.preprocessing.multiple == 4
    assert bundle.onnx_path.read_bytes() == onnx_model
    assert bundle.weights_path.read_bytes() == weights
    content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    assert content["schema"] == 1
    assert sorted(content["files"]) == FILES
    assert sorted(path.name for path in folder.parent.iterdir()) == ["bright-red"]


def test_zeros_in_the_info_are_not_taken_for_the_digest(bright_red):
    zeros = {"data_hash": "0" * 64}
    assert load_bundle(bright_red(trained_on=zeros)).info.trained_on == zeros


def test_measures_and_what_it_was_made_for_travel_with_it(bright_red):
    made_for = [{"red": 0.1, "brightness": -2.0}, {"red": 0.3}]
    bundle = load_bundle(bright_red(measures=["vessels"], made_for=made_for))
    assert (bundle.info.measures, bundle.info.made_for) == (["vessels"], made_for)
    predictor = open_predictor(bundle, "onnxruntime")
    assert (predictor.measures, predictor.made_for) == (("vessels",), made_for)


def test_a_bundle_that_is_older_than_them_is_read_as_before(bright_red_parts):
    content = bright_red_parts()[0].to_json()
    info = BundleInfo.model_validate({key: content[key] for key in content if key not in ("measures", "made_for")})
    assert (info.measures, info.made_for) == ([], None)
    assert BundleInfo.model_validate(content | {"made_for": {"red": [0.1, 2.0]}}).made_for is None
    with pytest.raises(ValidationError, match="measures"):
        BundleInfo.model_validate(content | {"measures": ["tortuosity"]})


def test_any_changed_byte_of_any_file_is_noticed(bright_red):
    folder = bright_red()
    for name in FILES:
        path = folder / name
        before = path.read_bytes()
        for index in {0, len(before) // 3, len(before) // 2, len(before) - 2, len(before) - 1}:
            path.write_bytes(before[:index] + bytes([before[index] ^ 1]) + before[index + 1 :])
            with pytest.raises(ModelError, match=name) as caught:
                load_bundle(folder)
            assert "\n" not in str(caught.value)
        path.write_bytes(before)
    load_bundle(folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx: is missing"),
        (lambda folder: (folder / "README.md").unlink(), "README.md: is missing"),
        (lambda folder: (folder / "bundle.json").unlink(), "is no bundle"),
        (lambda folder: (folder / "bundle.json").write_text('{"schema": 1,'), "no valid JSON"),
        (lambda folder: (folder / "bundle.json").write_bytes(b"\xff\xfe\x00"), "no valid JSON"),
        (lambda folder: (folder / "bundle.json").write_text("[" * 100_000), "no valid JSON"),
        (lambda folder: (folder / "bundle.json").write_text("[1]"), "no bundle description"),
        (lambda folder: edited(folder, schema=2), "schema version 2, this ocuseg reads 1"),
        (lambda folder: edited(folder, files={"../../etc/passwd": "0"}), "must list the SHA-256"),
        (lambda folder: edited(folder, threshold=0.1), "was changed"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_a_spoilt_bundle_is_one_line(bright_red, spoil, says):
    folder = bright_red()
    spoil(folder)
    with pytest.raises(ModelError, match=says) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": {"name": "unet-small", "out_channels": 3}}, "3 channels, but 2 classes need 1"),
        ({"classes": [{"id": 0, "name": "background"}]}, "at least two"),
        ({"preprocessing": {"crpo": "none"}}, "unknown key 'crpo'"),
        ({"prediction": {"tile_px": 8, "overlap_px": 8, "flips": False}}, "overlap wholly"),
    ],
)
def test_an_info_that_does_not_fit_together_is_never_written(bright_red, tmp_path, changes, says):
    with pytest.raises(ModelError, match=says):
        bright_red(**changes)
    assert not list(tmp_path.iterdir())


def test_the_info_takes_no_unknown_keys_and_no_impossible_threshold(bright_red_parts):
    values = bright_red_parts()[0].to_json()
    for wrong in ({"treshold": 0.5}, {"threshold": 1.5}, {"prediction": {"tile_px": 1, "overlap_px": 0}}):
        with pytest.raises(ValidationError):
            BundleInfo.model_validate(values | wrong)


@pytest.mark.parametrize("in_one_step", [True, False])
def test_replacing_a_bundle_leaves_nothing_else_behind(bright_red, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(ocuseg.folders, "_exchanged", lambda first, second: False)
    first = load_bundle(bright_red())
    second = load_bundle(bright_red(threshold=0.25))
    assert second.info.threshold == 0.25
    assert second.digest != first.digest
    assert [path.name for path in second.folder.parent.iterdir()] == ["bright-red"]


def test_a_reader_sees_a_whole_bundle_at_any_moment_of_a_replacement(bright_red, tmp_path):
    folder = bright_red()
    here, there = tmp_path / "here", tmp_path / "there"
    for path in (here, there):
        path.mkdir()
    if not ocuseg.folders._exchanged(here, there):
        pytest.skip("this file system cannot exchange folders")
    failures = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if not (folder / "bundle.json").is_file():
                failures.append("missing")

    reader = threading.Thread(target=read)
    reader.start()
    for threshold in (0.1, 0.2, 0.3, 0.4) * 3:
        bright_red(threshold=threshold)
    done.set()
    reader.join()
    assert not failures


@pytest.mark.parametrize("moment", ["write_bytes", "rename"])
def test_a_failure_at_any_moment_keeps_the_old_bundle(bright_red, monkeypatch, moment):
    folder = bright_red()
    digest = load_bundle(folder).digest
    monkeypatch.setattr(ocuseg.folders, "_exchanged", lambda first, second: False)
    calls = []
    original = getattr(Path, moment)

    def failing(self: Path, *arguments: object) -> object:
        calls.append(self)
        # The second call: with one file written, or with the old bundle moved away.
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Path, moment, failing)
        with pytest.raises(OutputError, match="no space left"):
            bright_red(threshold=0.1)
    assert load_bundle(folder).digest == digest
    assert [path.name for path in folder.parent.iterdir()] == ["bright-red"]


def test_a_folder_with_other_files_is_never_replaced(bright_red, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("my notes", encoding="utf-8")
    with pytest.raises(OutputError, match=r"mine: holds README\.md"):
        bright_red(folder="mine")
    (folder / "README.md").unlink()
    (folder / ".DS_Store").touch()
    bright_red(folder="mine")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds notes\.txt"):
        bright_red(folder="mine")
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        bright_red(folder="file")
    with pytest.raises(OutputError, match="cannot be written"):
        bright_red(folder="file/below")


def test_a_given_card_takes_the_place_of_the_generated_one(tmp_path, bright_red_parts):
    info, onnx_model, weights = bright_red_parts()
    folder = write_bundle(tmp_path / "b", info, onnx_model=onnx_model, weights=weights, readme="# Mine\n")
    assert (folder / "README.md").read_text(encoding="utf-8") == "# Mine\n"
    load_bundle(folder)


def test_a_model_is_a_bundle_a_run_or_a_shipped_name(bright_red, tmp_path, monkeypatch):
    folder = bright_red(folder="run/bundle")
    assert find_bundle(folder) == folder
    assert find_bundle(str(tmp_path / "run")) == folder
    models = tmp_path / "models"
    bright_red(folder="models/vessels")
    (models / "unfinished").mkdir()
    monkeypatch.setattr(ocuseg.bundle, "_models_folder", lambda: models)
    assert model_names() == ("vessels",)
    assert find_bundle("vessels") == models / "vessels"
    assert find_bundle(Path("vessels")) == models / "vessels"
    with pytest.raises(UsageError, match=r"did you mean 'vessels'\? .*shipped models vessels"):
        find_bundle("Vesels")
    monkeypatch.chdir(tmp_path / "run")
    shutil.copytree(folder, "vessels")
    assert find_bundle("vessels") == models / "vessels"
    assert find_bundle("./vessels") == Path("vessels")


def test_what_is_no_model_is_one_line_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ocuseg.bundle, "_models_folder", lambda: tmp_path / "none")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "model.onnx").touch()
    with pytest.raises(
        ModelError, match=r"is a run without a bundle; make one with 'ocuseg export run --out run.bundle'"
    ):
        find_bundle("run")
    with pytest.raises(ModelError, match="photos: is no bundle"):
        find_bundle("photos")
    with pytest.raises(ModelError, match="is a file"):
        find_bundle("model.onnx")
    with pytest.raises(UsageError, match="vesels: is neither a folder nor a shipped model"):
        find_bundle("vesels")
    with pytest.raises(UsageError, match="does not exist"):
        find_bundle("runs/none")
