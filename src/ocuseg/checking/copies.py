"""Which pictures are the same, exactly or nearly, whatever their files are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NearCopy", "difference_hash", "find_near_copies", "group_identical"]

# Measured on five data sets: copies saved as JPEG of quality 50, halved, brightened or with another gamma have at most
# 11 of 64 bits changed, and agree by .937 to .997 without what all pictures share; pictures of different people then
# agree by .24 (surgery), .43 (fundus), .51 (infrared) or .70 (lens) at most, frames of one eye by .95.
_MOST_BITS = 14
_SIMILAR = 0.85
_SAME = 0.95
_RADIUS_PX = 2
_NOISE_VARIANCE = 16.0
_ENOUGH = 8  # of so few pictures it can be said what they have in common
_ROWS = 512
_CANDIDATES = 4096


@dataclass(frozen=True, slots=True)
class NearCopy:
    """Two pictures, by position, and their agreement: 1 for the same, about 0 for unrelated ones.

    `is_certain` where nothing but a copy agrees so well.
    """

    first: int
    second: int
    agreement: float
    is_certain: bool


def group_identical(keys: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Return the groups (two or more positions each, ascending) that share a key, directly or through others.

    `keys` has a sequence per picture, such as the hash of its file and that of its pixels; empty keys are skipped.
    """
    leader = list(range(len(keys)))

    def find(position: int) -> int:
        while leader[position] != position:
            leader[position] = leader[leader[position]]
            position = leader[position]
        return position

    first: dict[Hashable, int] = {}
    for position, own in enumerate(keys):
        for key in own:
            if key:
                low, high = sorted((find(first.setdefault(key, position)), find(position)))
                leader[high] = low
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for position in range(len(keys)):
        groups[find(position)].append(position)
    return [group for group in groups.values() if len(group) > 1]


def difference_hash(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return 64 bits (N, 64) per thumbnail (N, S, S): whether each of 8 x 8 places is darker than the one to its right.

    The 64-bit dHash of N. Krawetz, 2013, on 8 x 9 block means, S at least 9.
    """
    side = thumbnails.shape[1]
    rows = np.linspace(0, side, 9).round().astype(int)
    columns = np.linspace(0, side, 10).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(thumbnails.astype(np.float64), rows[:-1], axis=1), columns[:-1], axis=2)
    means = sums / np.diff(columns)
    bits: NDArray[np.bool_] = means[:, :, :-1] < means[:, :, 1:]
    return bits.reshape(len(thumbnails), 64)


def find_near_copies(thumbnails: NDArray[np.uint8], parts: Sequence[int]) -> list[NearCopy]:
    """Return the pairs of pictures in different parts that look the same, ordered by position.

    `thumbnails` is (N, S, S) grey; `parts` has a number per picture (its split), negative to leave it out. A pair must
    have at most 14 different bits in the 64-bit hash; then the fine structure of the thumbnails must agree, and then,
    among eight pictures or more, also what is left of it without the mean of all other pictures: the bright disc in a
    dark surround that all photographs of a camera share makes no copies. Of fewer pictures none is certain.
    """
    part = np.asarray(parts)
    if len(thumbnails) < 2:
        return []
    signs = np.where(difference_hash(thumbnails), 1, -1).astype(np.float32)
    structure = _fine_structure(thumbnails)
    total = structure.sum(axis=0)
    found: list[NearCopy] = []
    for start in range(0, len(signs), _ROWS):
        rows = slice(start, start + _ROWS)
        distance = (64 - signs[rows] @ signs.T) / 2
        apart = (part[rows, np.newaxis] != part) & (part[rows, np.newaxis] >= 0) & (part >= 0)
        later = np.arange(len(signs)) > np.arange(start, min(start + _ROWS, len(signs)))[:, np.newaxis]
        first, second = np.nonzero((distance <= _MOST_BITS) & apart & later)
        for block in range(0, len(first), _CANDIDATES):
            ours, theirs = first[block : block + _CANDIDATES] + start, second[block : block + _CANDIDATES]
            alike = _agreement(structure[ours], structure[theirs]) >= _SIMILAR
            found += _confirmed(structure, total, ours[alike], theirs[alike])
    return found


def _confirmed(
    structure: NDArray[np.float32], total: NDArray[np.float32], ours: NDArray[np.intp], theirs: NDArray[np.intp]
) -> list[NearCopy]:
    """Return the pairs that still agree without what they share with all other pictures."""
    enough = len(structure) >= _ENOUGH
    first, second = structure[ours], structure[theirs]
    if enough:
        mean = (total - first - second) / np.float32(len(structure) - 2)
        first, second = first - mean, second - mean
    agreement = _agreement(first, second)
    least = _SIMILAR if enough else _SAME
    return [
        NearCopy(int(ours[k]), int(theirs[k]), float(agreement[k]), enough and bool(agreement[k] >= _SAME))
        for k in np.nonzero(agreement >= least)[0]
    ]


def _agreement(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the correlation (K,) of rows (K, P); 0 for a row without structure."""
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    product: NDArray[np.float32] = np.einsum("ij,ij->i", first, second)
    agreement: NDArray[np.float32] = np.divide(product, norm, out=np.zeros_like(product), where=norm > 1e-6)
    return agreement


def _fine_structure(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, S*S): the pictures less their local mean, over their local deviation, so that every place counts."""
    fine = thumbnails.astype(np.float64)
    fine -= _local_mean(fine)
    fine /= np.sqrt(_local_mean(fine * fine) + _NOISE_VARIANCE)
    return fine.reshape(len(fine), -1).astype(np.float32)


def _local_mean(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    side = 2 * _RADIUS_PX + 1
    padded = np.pad(pictures, ((0, 0), (_RADIUS_PX, _RADIUS_PX), (_RADIUS_PX, _RADIUS_PX)), mode="edge")
    mean = np.zeros_like(pictures)
    height, width = pictures.shape[1:]
    for down in range(side):
        for right in range(side):
            mean += padded[:, down : down + height, right : right + width]
    mean /= side * side
    return mean
