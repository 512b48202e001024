"""Pairs, splits and copies hold for any names, not only for those of the known data sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ocuseg.checking.copies import difference_hash, find_near_copies, group_identical
from ocuseg.index.pairing import pair_by_name
from ocuseg.index.records import Record, with_unique_names
from ocuseg.index.splitting import SPLITS, split_by_ratio

NUMBERS = st.sets(st.integers(0, 2000), min_size=1, max_size=25)
WORDS = st.text("abcxyz", min_size=1, max_size=5)
AFFIX = st.one_of(st.just(""), WORDS.map(lambda word: f"{word}_"), WORDS)
ENDING = st.one_of(st.just(""), WORDS.map(lambda word: f"_{word}"), WORDS)
STEMS = st.sets(st.text("ab01_", min_size=1, max_size=5), max_size=12)


def paths(folder: str, stems: list[str]) -> list[Path]:
    return [Path(folder, f"{stem}.png") for stem in stems]


@given(NUMBERS, AFFIX, ENDING, AFFIX, ENDING, st.randoms(use_true_random=False))
def test_one_rule_for_all_pairs_all(numbers, image_prefix, image_suffix, mask_prefix, mask_suffix, random):
    stems = [str(number) for number in sorted(numbers)]
    masks = paths("masks", [f"{mask_prefix}{stem}{mask_suffix}" for stem in stems])
    random.shuffle(masks)
    pairing = pair_by_name(paths("images", [f"{image_prefix}{stem}{image_suffix}" for stem in stems]), masks)
    assert len(pairing.pairs) == len(stems)
    for image, mask in pairing.pairs.items():
        assert (
            image.stem[len(image_prefix) : len(image.stem) - len(image_suffix)]
            == (mask.stem[len(mask_prefix) : len(mask.stem) - len(mask_suffix)])
        )


@given(NUMBERS, NUMBERS, ENDING)
def test_numbers_are_never_mixed_up(image_numbers, mask_numbers, suffix):
    images = paths("images", [f"img_{number}" for number in sorted(image_numbers)])
    masks = paths("masks", [f"img_{number}{suffix}" for number in sorted(mask_numbers)])
    pairing = pair_by_name(images, masks)
    for image, mask in pairing.pairs.items():
        assert mask.stem == f"{image.stem}{suffix}"
    if len(image_numbers & mask_numbers) > max(len(image_numbers), len(mask_numbers)) / 2:
        assert len(pairing.pairs) == len(image_numbers & mask_numbers)


@given(STEMS, STEMS)
def test_every_file_is_paired_once_or_named(image_stems, mask_stems):
    images, masks = paths("images", sorted(image_stems)), paths("masks", sorted(mask_stems))
    pairing = pair_by_name(images, masks)
    seen_images, seen_masks = Counter(list(pairing.pairs)), Counter(pairing.pairs.values())
    seen_images.update(pairing.unpaired)
    seen_masks.update(pairing.left_over)
    for ours, theirs in pairing.ambiguous:
        seen_images.update(set(ours) - set(seen_images))
        seen_masks.update(set(theirs) - set(seen_masks))
    assert set(seen_images) == set(images)
    assert set(seen_masks) == set(masks)
    assert max([*seen_images.values(), *seen_masks.values()], default=1) == 1
    again = pair_by_name(images[::-1], masks[::-1])
    assert again.pairs == pairing.pairs
    for image, mask in pairing.pairs.items():
        assert image.stem == mask.stem or not (image_stems & {mask.stem})


GROUPS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 6).map(str), min_size=1, max_size=40)


@given(GROUPS, st.integers(1, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 99))
def test_groups_stay_whole_and_shares_are_met(groups, train, val, test, seed):
    total = train + val + test
    ratios = dict(zip(SPLITS, (train / total, val / total, test / total), strict=True))
    splits = split_by_ratio(groups, ratios, seed)
    assert set(splits) == set(groups)
    for group in set(groups.values()):
        assert len({splits[name] for name in groups if groups[name] == group}) == 1
    wanted = [split for split in SPLITS if ratios[split]]
    assert set(splits.values()) <= set(wanted)
    assert len(set(splits.values())) == min(len(wanted), len(set(groups.values())))
    reordered = dict(sorted(groups.items(), reverse=True))
    assert split_by_ratio(reordered, ratios, seed) == splits


@given(st.integers(6, 200), st.integers(0, 99))
def test_single_images_meet_the_shares_within_one(count, seed):
    names = {f"{number}": f"{number}" for number in range(count)}
    ratios = dict(zip(SPLITS, (0.7, 0.15, 0.15), strict=True))
    taken = Counter(split_by_ratio(names, ratios, seed).values())
    assert all(abs(taken[split] - ratios[split] * count) <= 1 for split in SPLITS)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "A", "b"]), st.sampled_from([".png", ".jpg"]), st.sampled_from(SPLITS)))
)
def test_names_are_unique_whatever_the_capitals(files):
    records = [
        Record("", Path(f"{number}", stem + suffix), split=split) for number, (stem, suffix, split) in enumerate(files)
    ]
    names = [record.name.casefold() for record in with_unique_names(records)]
    assert len(set(names)) == len(records)


@given(st.lists(st.tuples(st.integers(0, 5).map(str), st.integers(0, 5).map(str)), max_size=12))
def test_identical_groups_are_the_connected_ones(keys):
    found = group_identical([(f"file {first}", f"pixels {second}") for first, second in keys])
    positions = [position for group in found for position in group]
    assert len(positions) == len(set(positions))
    leader = {position: group[0] for group in found for position in group}
    for first, (file, pixels) in enumerate(keys):
        for second, (other_file, other_pixels) in enumerate(keys):
            if file == other_file or pixels == other_pixels:
                assert leader.get(first, first) == leader.get(second, second)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.6, 1.0), st.integers(0, 20))
def test_a_dimmed_copy_is_found_and_nothing_else(seed, count, gain, offset):
    random = np.random.default_rng(seed)
    thumbnails = random.integers(0, 236, (count, 32, 32)).astype(np.uint8)
    copy = np.rint(thumbnails[0] * gain + offset).astype(np.uint8)
    parts = [0, *(int(random.integers(-1, 3)) for _ in range(count - 1)), 1]
    found = find_near_copies(np.concatenate([thumbnails, copy[np.newaxis]]), parts)
    assert [(pair.first, pair.second) for pair in found] == [(0, count)]
    assert found[0].agreement > 0.95
    assert found[0].is_certain == (count + 1 >= 8)
    assert find_near_copies(np.concatenate([thumbnails, copy[np.newaxis]]), [0] * (count + 1)) == []


def test_difference_hash_by_hand():
    ramp = np.tile(np.arange(32, dtype=np.uint8), (32, 1))
    assert difference_hash(ramp[np.newaxis]).all()
    assert not difference_hash(ramp[np.newaxis, :, ::-1]).any()
    half = ramp.copy()
    half[16:] = half[16:, ::-1]
    assert difference_hash(half[np.newaxis]).reshape(8, 8).sum(axis=1).tolist() == [8] * 4 + [0] * 4
