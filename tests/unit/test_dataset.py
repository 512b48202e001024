from __future__ import annotations

import numpy as np
import pytest
import torch

from ocuseg.training.dataset import TrainingBatches, ValidationImages
from ocuseg.training.loading import data_loaders
from ocuseg.training.samples import Sample


def _samples(number: int = 6, rare: tuple[int, ...] = (2,), size: int = 24) -> list[Sample]:
    """Images of background with a corner of class 1; those in `rare` have one pixel of class 2."""
    samples = []
    for index in range(number):
        target = np.zeros((size, size), np.uint8)
        target[:3, :3] = 1
        if index in rare:
            target[-1, -1] = 2
        image = np.full((size, size, 3), index, np.uint8)
        samples.append(Sample(str(index), image, target, np.ones((size, size), bool)))
    return samples


def _batches(samples: list[Sample], **changes: object) -> TrainingBatches:
    settings = {
        "batch_size": 4, "crop_px": None, "margin": 1.0, "sampler": "repeat_factor", "num_classes": 3,
        "steps_per_epoch": None, "seed": 3, "repeat_threshold": 0.5,
    }  # fmt: skip
    return TrainingBatches(samples, **{**settings, **changes})  # type: ignore[arg-type]


def _names(batches: TrainingBatches, epochs: int) -> list[str]:
    return [name for epoch in range(epochs) for step in range(len(batches)) for name in batches[epoch, step]["names"]]


def test_uniform_images_come_equally_often_in_every_turn() -> None:
    batches = _batches(_samples(), sampler="uniform", batch_size=3)
    assert len(batches) == 2
    names = _names(batches, 20)
    turns = [names[start : start + 6] for start in range(0, len(names), 6)]
    assert all(sorted(turn) == list("012345") for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 15


def test_images_with_a_rare_class_come_as_often_as_their_factor_says() -> None:
    batches = _batches(_samples())
    factor = np.sqrt(0.5 * 6)
    assert batches.repeats == pytest.approx([1, 1, factor, 1, 1, 1])
    assert len(batches) == np.ceil((5 + factor) / 4)
    names = _names(batches, 400)
    counts = {name: names.count(name) / names.count("0") for name in "12345"}
    assert counts.pop("2") == pytest.approx(factor, rel=0.03)
    assert all(count == pytest.approx(1, abs=0.01) for count in counts.values())


def test_a_whole_factor_leaves_nothing_to_chance() -> None:
    batches = _batches(_samples(8, rare=(1, 4)), batch_size=5, repeat_threshold=1.0)  # sqrt(1 / 0.25) = 2
    assert len(batches) == 2
    names = _names(batches, 20)
    assert all(sorted(names[start : start + 10]) == list("0112344567") for start in range(0, len(names), 10))


@pytest.mark.parametrize("sampler", ["uniform", "balanced", "repeat_factor"])
@pytest.mark.parametrize("crop_px", [None, 16])
def test_a_batch_depends_on_seed_epoch_and_step_alone(sampler: str, crop_px: int | None) -> None:
    first, second = (_batches(_samples(), sampler=sampler, crop_px=crop_px, steps_per_epoch=3) for _ in range(2))
    other = _batches(_samples(), sampler=sampler, crop_px=crop_px, steps_per_epoch=3, seed=4)
    places = [(epoch, step) for epoch in range(5) for step in range(3)]
    found = {place: first[place] for place in places}
    for place in reversed(places):  # as a run that is taken up in the midst would ask, and out of order
        again = second[place]
        assert again["names"] == found[place]["names"]
        assert all(np.array_equal(again[key], found[place][key]) for key in ("images", "target", "counted"))
    assert any(other[place]["names"] != found[place]["names"] for place in places)


def test_a_class_where_nothing_counts_makes_no_image_rare() -> None:
    samples = _samples()
    samples[2].counted[-1, -1] = False
    assert _batches(samples).repeats.tolist() == [1] * 6


def test_windows_of_repeated_images_lie_anywhere() -> None:
    samples = _samples()
    samples[2].target[-6:] = 2
    batches = _batches(samples, crop_px=8, batch_size=8, steps_per_epoch=40)
    held = [
        bool((target == 2).any())
        for step in range(40)
        for name, target in zip(batches[0, step]["names"], batches[0, step]["target"], strict=True)
        if name == "2"
    ]
    assert len(held) > 60
    assert 0.2 < np.mean(held) < 0.5  # 6 of 17 heights show its rows; balanced would show them always


@pytest.mark.parametrize("sampler", ["uniform", "balanced", "repeat_factor"])
@pytest.mark.parametrize("crop_px", [None, 8])
def test_parts_of_a_batch_are_the_rows_of_the_whole(sampler: str, crop_px: int | None) -> None:
    settings = {"sampler": sampler, "crop_px": crop_px, "margin": 1.5 if crop_px else 1.0}
    whole = _batches(_samples(), batch_size=6, **settings)
    parts = [_batches(_samples(), batch_size=2, part=(number, 3), **settings) for number in range(3)]
    assert {len(part) for part in parts} == {len(whole)}
    for place in ((0, 0), (1, 0), (4, len(whole) - 1)):
        for key in ("images", "target", "counted"):
            assert torch.equal(torch.cat([part[place][key] for part in parts]), whole[place][key])
        assert [name for part in parts for name in part[place]["names"]] == whole[place]["names"]


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_validation_image_is_in_one_part(processes: int) -> None:
    parts = [ValidationImages(_samples(7), 8, (number, processes)) for number in range(processes)]
    names = [part[index]["names"] for part in parts for index in range(len(part))]
    assert sorted(name for each in names for name in each) == list("0123456")
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    empty = [part[0] for part in parts if not part.places]
    assert len(empty) == max(0, processes - 7)
    assert not any(item["counted"].any() for item in empty)


@pytest.mark.parametrize("sampler", ["uniform", "balanced"])
@pytest.mark.parametrize("crop_px", [None, 16, 40])
def test_windows_are_what_numpy_cuts_wherever_the_samples_are_held(sampler: str, crop_px: int | None) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(sample.name, rng.integers(0, 256, (24, 24, 3), np.uint8), sample.target, rng.random((24, 24)) < 0.8)
        for sample in _samples()
    ]
    batches = _batches(samples, sampler=sampler, crop_px=crop_px, margin=1.5, steps_per_epoch=3)
    batches.hold_on(torch.device("cpu"))
    height, width = batches.window
    for place in [(0, 0), (0, 2), (4, 1)]:
        batch = batches[place]
        draw = np.random.default_rng([3, 1, *place])
        for row, (index, class_id) in enumerate(batches._choose(*place, draw)):
            top, left = batches._corner(samples[index], class_id, draw)
            for key, part in (("images", "image"), ("target", "target"), ("counted", "counted")):
                pixels = getattr(samples[index], part)
                around = [(height, height), (width, width), (0, 0)][: pixels.ndim]
                cut = np.pad(pixels, around)[top + height :, left + width :][:height, :width]
                found = batch[key][row].numpy()
                assert np.array_equal(found if part != "image" else found.transpose(1, 2, 0), cut)


def test_validation_images_are_the_same_when_they_are_held() -> None:
    images = ValidationImages(_samples(3, size=21), 8)
    before = [images[index] for index in range(3)]
    images.hold_on(torch.device("cpu"))
    for index, batch in enumerate(before):
        assert batch["images"].shape == (1, 3, 24, 24)
        assert images[index]["names"] == batch["names"]
        assert all(torch.equal(images[index][key], batch[key]) for key in ("images", "target", "counted"))


@pytest.mark.parametrize(
    ("free", "held"),
    [(10**6, [True, True]), (4 * 6 * 5 * 24 * 24, [True, True]), (8000, [False, True]), (0, [False, False])],
)
def test_on_a_gpu_is_held_what_takes_a_quarter_of_its_free_memory_at_most(
    free: int, held: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, images = _batches(_samples()), ValidationImages(_samples(1, size=20), 8)
    assert (batches.nbytes, images.nbytes) == (6 * 5 * 24 * 24, 5 * 20 * 20)
    asked: list[object] = []
    for kind in (TrainingBatches, ValidationImages):
        monkeypatch.setattr(kind, "hold_on", lambda data, device: asked.append(data))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    loaders = data_loaders(batches, images, torch.device("cuda", 0))
    assert [data in asked for data in (batches, images)] == held
    assert [loader.pin_memory for loader in loaders] == [not each for each in held]
    assert not any(loader.pin_memory for loader in data_loaders(batches, images, torch.device("cpu")))
