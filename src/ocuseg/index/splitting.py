"""Train, validation and test by ratio, and folds: whole groups, seeded, the same on every machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from ocuseg.errors import UsageError
from ocuseg.files import hash_bytes

__all__ = ["SPLITS", "Split", "deal_folds", "parse_split", "require_ratios", "split_by_ratio", "take_share"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def parse_split(word: str) -> Split | None:
    """Return the split that a word of a folder or table means, None for a word that means none."""
    return _WORDS.get(word.strip().lower())


def require_ratios(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the shares of train, val and test as given, once they are sound.

    Raises UsageError unless they are three numbers of at least 0 that sum to 1, with some training.
    """
    values = tuple(float(ratio) for ratio in ratios)
    sound = len(values) == 3 and all(math.isfinite(value) and value >= 0 for value in values)
    if not sound or values[0] == 0 or abs(sum(values) - 1) > 1e-6:
        shown = ", ".join(f"{value:g}" for value in values)
        raise UsageError(
            f"split_ratios: {shown} are not three shares of train, val and test that sum to 1; give 0.7, 0.15, 0.15"
        )
    return values[0], values[1], values[2]


def split_by_ratio(groups: Mapping[str, str], ratios: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """Return the split of every name, where `groups` gives the group of each and a group is never divided.

    Shares are met as nearly as whole groups allow; each split with a share gets at least one group while there
    are enough, train first. The outcome depends on the names, groups, shares and seed, on nothing else.
    """
    members = _members(groups)
    wanted = [split for split in SPLITS if ratios.get(split, 0) > 0]
    # A hash orders the groups, so that neither the Python version nor the order of the files has a say.
    order = sorted(members, key=lambda group: (-len(members[group]), hash_bytes([str(seed), group])))
    taken: dict[Split, list[str]] = {split: [] for split in wanted}
    missing = {split: ratios[split] * len(groups) for split in wanted}
    for group in order:
        split = max(wanted, key=lambda word: missing[word])
        taken[split].append(group)
        missing[split] -= len(members[group])
    for split in wanted:
        donor = max(wanted, key=lambda word: len(taken[word]))
        if not taken[split] and len(taken[donor]) > 1:
            taken[split].append(taken[donor].pop())
    return {name: split for split in wanted for group in taken[split] for name in members[group]}


def deal_folds(groups: Mapping[str, str], folds: int, seed: int) -> dict[str, int]:
    """Return the fold, 1 to `folds`, of every name, where `groups` gives the group of each; no group is divided.

    The largest group goes first, each to the fold with the fewest names so far. No fold stays empty where there are
    as many groups. The outcome depends on the names, groups, number and seed, on nothing else.
    """
    members = _members(groups)
    sizes = dict.fromkeys(range(1, folds + 1), 0)
    dealt: dict[str, int] = {}
    for group in sorted(members, key=lambda group: (-len(members[group]), hash_bytes([str(seed), group]))):
        fold = min(sizes, key=lambda number: (sizes[number], number))
        sizes[fold] += len(members[group])
        dealt |= dict.fromkeys(members[group], fold)
    return dealt


def take_share(groups: Mapping[str, str], share: float, seed: str) -> frozenset[str]:
    """Return the names of whole groups that hold about `share` of all names, drawn by `seed`.

    At least one group is taken and one is left; `groups` gives the group of each name, and has two or more.
    """
    members = _members(groups)
    order = sorted(members, key=lambda group: hash_bytes([seed, group]))
    wanted = share * len(groups)
    taken: list[str] = []
    names = 0
    for group in order:
        # A group is worth taking where that brings the number nearer to what is wanted.
        if len(taken) < len(order) - 1 and names + len(members[group]) / 2 <= wanted:
            taken.append(group)
            names += len(members[group])
    taken = taken or [min(order, key=lambda group: len(members[group]))]
    return frozenset(name for group in taken for name in members[group])


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(groups):
        members[groups[name]].append(name)
    return dict(members)
