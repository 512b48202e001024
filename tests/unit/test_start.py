"""What a run keeps of the model that it starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ocuseg.checking import CheckResult
from ocuseg.classes import parse_classes
from ocuseg.errors import ModelError
from ocuseg.findings import Findings
from ocuseg.index import Index, Record
from ocuseg.networks import build_network, resolve_network
from ocuseg.training.completion import common_facts
from ocuseg.training.preparation import _start_from
from ocuseg.training.recipe import Recipe
from ocuseg.training.start import (
    Origin,
    StartWeights,
    read_origin,
    read_start,
    seen_before,
    warn_of_names,
    write_start,
)

ORIGIN = Origin("vessels", "ab" * 32, ("0" * 16, "1" * 16))
WEIGHTS = {"weight": torch.arange(3.0)}


def checked_of(*digests: str) -> CheckResult:
    """A check of images that have these hashes."""
    records = tuple(Record(f"image{n}", Path(f"{n}.png"), None, split="test") for n in range(len(digests)))
    hashes = {f"{n}.png": digest for n, digest in enumerate(digests)}
    index = Index(Path("data"), "flat", "the same name", records, ())
    return CheckResult(index, Findings((), len(records)), None, None, {}, {}, "00", hashes, records)


def test_weights_are_for_before_the_first_checkpoint_and_the_origin_for_ever(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert read_start(tmp_path) is None
    assert read_origin(tmp_path) is None
    write_start(StartWeights(ORIGIN, {"name": "unet"}, WEIGHTS), tmp_path)
    found = read_start(tmp_path)
    assert found is not None
    assert (found.origin, found.network) == (ORIGIN, {"name": "unet"})
    assert torch.equal(found.weights["weight"], WEIGHTS["weight"])
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert read_start(tmp_path) is None
    assert read_origin(tmp_path) == ORIGIN


def test_a_start_of_an_earlier_version_has_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "start.safetensors"
    save_file(WEIGHTS, path, {"model": "vessels", "network": "{}"})
    assert read_origin(tmp_path) == Origin("vessels")
    path.write_bytes(path.read_bytes()[:20])
    for read in (read_origin, read_start):
        with pytest.raises(ModelError, match=r"start\.safetensors: is damaged .*; start a new run with --from"):
            read(tmp_path)


def test_images_are_known_by_the_first_digits_of_their_hash() -> None:
    checked = checked_of("0" * 64, "2" * 64, "0" * 15 + "f" * 49, "1" * 64, "")
    assert seen_before(ORIGIN, checked, checked.index.records) == ["image0", "image3"]
    assert seen_before(Origin("vessels"), checked, checked.index.records) == []
    assert seen_before(None, checked, checked.index.records) == []


def test_a_bundle_says_where_it_comes_from_and_names_no_folder() -> None:
    checked = checked_of("2" * 64, "0" * 64)
    recipe = Recipe(encoder_weights=str(Path("home", "me", "hrnet.pth")), start_from=str(Path("home", "me", "first")))
    facts = common_facts(recipe, checked, checked.index.records, ORIGIN)
    assert facts["image_hashes"] == ["0" * 16, "1" * 16, "2" * 16]
    assert facts["started_from"] == {"name": "vessels", "digest": "ab" * 32}
    assert (facts["recipe"]["encoder_weights"], facts["recipe"]["start_from"]) == ("hrnet.pth", "first")
    fresh = common_facts(Recipe(), checked, checked.index.records[:1], None)
    assert "started_from" not in fresh
    assert (fresh["image_hashes"], fresh["recipe"]["encoder_weights"]) == (["2" * 16], None)


def test_a_model_of_before_a_setting_came_starts_a_run_with_its_default() -> None:
    settings = resolve_network({"name": "unet-small", "width": 4})
    network = build_network(settings)
    older = {key: value for key, value in settings.items() if key != "attention"}
    weights = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    _start_from(network, settings, StartWeights(ORIGIN, older, weights))
    assert not any(value.any() for value in network.state_dict().values())
    with pytest.raises(ModelError, match="its network has attention 'none', the recipe 'scse'"):
        _start_from(network, settings | {"attention": "scse"}, StartWeights(ORIGIN, older, weights))


@pytest.mark.parametrize(
    ("names", "told"), [(("iris", "pupil"), ""), (("pupil", "iris"), "1 is pupil, not iris, 2 is iris, not pupil")]
)
def test_other_names_than_those_of_the_model_are_said(
    names: tuple[str, ...], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    start = StartWeights(ORIGIN, {"name": "unet"}, WEIGHTS, ("background", "iris", "pupil"))
    checked = checked_of("0" * 64)
    classes = parse_classes([{"id": n, "name": name} for n, name in enumerate(("background", *names))])
    index = replace(checked.index, classes_file=Path("data/classes.yaml"))
    warn_of_names(start, replace(checked, index=index, classes=classes))
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)
    warn_of_names(None, checked)


def test_a_recipe_may_start_any_structure_from_any_other(caplog: pytest.LogCaptureFixture) -> None:
    start = StartWeights(ORIGIN, {"name": "unet"}, WEIGHTS, ("background", "vessel"))
    checked = checked_of("0" * 64)
    classes = parse_classes([{"id": 0, "name": "background"}, {"id": 1, "name": "retinal vessel"}])
    checked = replace(checked, index=replace(checked.index, classes_file=Path("data/classes.yaml")), classes=classes)
    warn_of_names(replace(start, where_fit=True), checked)
    assert caplog.text == ""
    eye = parse_classes([{"id": n, "name": name} for n, name in enumerate(("background", "iris", "pupil"))])
    warn_of_names(replace(start, where_fit=True), replace(checked, classes=eye))  # from which nothing is started
    assert caplog.text == ""
    warn_of_names(start, checked)
    assert "1 is retinal vessel, not vessel" in caplog.text
