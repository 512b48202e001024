"""Which file belongs to which picture, by their names alone, one to one, and never by a guess that could be wrong."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocuseg.errors import UsageError
from ocuseg.files import stem_of

__all__ = ["Pairing", "pair_by_name", "pair_by_pattern", "parse_pattern"]

# A run of digits is one token: it is never cut, so that 1 is not found in 10.
_TOKEN = re.compile(r"\d+|[^\W\d_]+|[\W_]")
_SAMPLES = 8
_PARTNERS = 48


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pictures with their partners, and all that is left.

    `rule` says in words how they were joined, empty where no rule was found; `rivals` names the rules that fit
    equally well and disagree (then nothing is paired); `ambiguous` gives pictures and partners that share one name.
    """

    rule: str
    pairs: dict[Path, Path]
    unpaired: tuple[Path, ...]
    left_over: tuple[Path, ...]
    ambiguous: tuple[tuple[tuple[Path, ...], tuple[Path, ...]], ...] = ()
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """The fixed parts around the shared part of a name: (before, after), or (before, between, after) with two."""

    image: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"{_template(self.image)} with {_template(self.other)}"

    @property
    def fixed(self) -> int:
        return sum(map(len, self.image)) + sum(map(len, self.other))


def pair_by_name(images: Sequence[Path], others: Sequence[Path]) -> Pairing:
    """Return the pairing that the names show: the same stem, or one rule for all.

    A rule is such as `{id}_training` with `{id}_manual1`. The one that joins most files is taken; two that join
    equally many and disagree are rivals. Numbers that differ between the sides are never the fixed part of a rule.
    """
    image_stems = {path: _stem(path) for path in images}
    other_stems = {path: _stem(path) for path in others}
    same = _join(image_stems, other_stems, "the same name")
    if not same.unpaired and not same.left_over:
        return same
    scored: list[tuple[int, _Rule, dict[Path, Path]]] = []
    for rule in _candidates(list(image_stems.values()), list(other_stems.values())):
        pairs = _pairs(_keys(image_stems, rule.image), _keys(other_stems, rule.other))
        if 2 * len(pairs) > min(len(images), len(others)):
            scored.append((len(pairs), rule, pairs))
    most = max((score for score, _, _ in scored), default=0)
    if len(same.pairs) >= most:
        return same if same.pairs else Pairing("", {}, tuple(images), tuple(others), same.ambiguous)
    best = sorted((item for item in scored if item[0] == most), key=lambda item: (item[1].fixed, item[1].words))
    rivals = {tuple(sorted(pairs.items())): rule.words for _, rule, pairs in reversed(best)}
    if len(rivals) > 1:
        return Pairing("", {}, tuple(images), tuple(others), rivals=tuple(sorted(rivals.values())))
    rule = best[0][1]
    joined = _join(_keys(image_stems, rule.image), _keys(other_stems, rule.other), rule.words, images, others)
    return _without_doubtful(joined, image_stems, other_stems)


def pair_by_pattern(
    images: Sequence[Path], others: Sequence[Path], image_pattern: re.Pattern[str], other_pattern: re.Pattern[str]
) -> Pairing:
    """Return the pairing that two patterns of `parse_pattern` state; files that match none of them are left out.

    Raises UsageError where the patterns do not name the same parts in braces.
    """
    if set(image_pattern.groupindex) != set(other_pattern.groupindex):
        raise UsageError(
            "image_pattern and mask_pattern: name different parts in braces; use the same, such as {id}, in both"
        )
    return _join(_matches(images, image_pattern), _matches(others, other_pattern), "the given patterns")


def parse_pattern(pattern: str, name: str) -> re.Pattern[str]:
    r"""Return the regular expression of a file name pattern: `{id}` is the shared part, `*` and `?` as in a shell.

    `name` is the setting's name for the message. Raises UsageError without any part in braces, or with one twice.
    """
    pieces = re.split(r"(\{[A-Za-z_]\w*\}|[*?])", pattern)
    parts = [piece[1:-1] for piece in pieces if piece.startswith("{") and piece.endswith("}")]
    if not parts or len(set(parts)) != len(parts):
        raise UsageError(f"{name}: {pattern!r} must hold {{id}} once, as in '{{id}}_mask.png'")
    wild = {"*": ".*", "?": "."}
    return re.compile(
        "".join(
            f"(?P<{piece[1:-1]}>.+)" if piece[1:-1] in parts and piece[0] == "{" else wild.get(piece, re.escape(piece))
            for piece in pieces
            if piece
        )
    )


def _stem(path: Path) -> str:
    # Some file systems take letters with accents apart; the names are the same nevertheless.
    return unicodedata.normalize("NFC", stem_of(path))


def _matches(paths: Iterable[Path], pattern: re.Pattern[str]) -> dict[Path, Hashable]:
    found = ((path, pattern.fullmatch(path.name)) for path in paths)
    return {path: tuple(sorted(match.groupdict().items())) for path, match in found if match}


def _template(fixed: tuple[str, ...]) -> str:
    return fixed[0] + "{id}" + "{more}".join(fixed[1:])


def _join(
    image_keys: Mapping[Path, Hashable],
    other_keys: Mapping[Path, Hashable],
    rule: str,
    images: Iterable[Path] | None = None,
    others: Iterable[Path] | None = None,
) -> Pairing:
    by_image, by_other = _by_key(image_keys), _by_key(other_keys)
    pairs = _pairs(image_keys, other_keys)
    clashes = [key for key in by_image if len(by_image[key]) > 1 or len(by_other.get(key, [])) > 1]
    ambiguous = tuple((tuple(by_image.get(key, ())), tuple(by_other.get(key, ()))) for key in clashes)
    settled = {*pairs, *pairs.values(), *(path for sides in ambiguous for side in sides for path in side)}
    return Pairing(
        rule,
        pairs,
        tuple(path for path in (image_keys if images is None else images) if path not in settled),
        tuple(path for path in (other_keys if others is None else others) if path not in settled),
        ambiguous,
    )


def _pairs(image_keys: Mapping[Path, Hashable], other_keys: Mapping[Path, Hashable]) -> dict[Path, Path]:
    by_image, by_other = _by_key(image_keys), _by_key(other_keys)
    return {
        paths[0]: by_other[key][0] for key, paths in by_image.items() if len(paths) == len(by_other.get(key, ())) == 1
    }


def _by_key(keys: Mapping[Path, Hashable]) -> dict[Hashable, list[Path]]:
    found: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for path, key in keys.items():
        found[key].append(path)
    return found


def _keys(stems: Mapping[Path, str], fixed: tuple[str, ...]) -> dict[Path, Hashable]:
    """Return what is left of each stem without the fixed parts, for the stems that have them at token borders."""
    keys: dict[Path, Hashable] = {}
    for path, stem in stems.items():
        rest = stem[len(fixed[0]) : len(stem) - len(fixed[-1])]
        if not (stem.startswith(fixed[0]) and stem.endswith(fixed[-1])):
            continue
        parts = [rest] if len(fixed) == 2 else rest.split(fixed[1])
        if len(parts) != len(fixed) - 1 or not all(parts):
            continue
        ends = zip([fixed[0], *parts], [*parts, fixed[-1]], strict=True) if len(fixed) == 2 else _borders(parts, fixed)
        if not any(left[-1:].isdigit() and right[:1].isdigit() for left, right in ends):
            keys[path] = tuple(parts)
    return keys


def _borders(parts: list[str], fixed: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(fixed[0], parts[0]), (parts[0], fixed[1]), (fixed[1], parts[1]), (parts[1], fixed[2])]


def _candidates(images: list[str], others: list[str]) -> list[_Rule]:
    """Return the rules that join some sampled picture with a file that shares a part of its name."""
    by_token: defaultdict[str, list[str]] = defaultdict(list)
    for other in others:
        for token in set(_TOKEN.findall(other)):
            by_token[token].append(other)
    step = max(1, len(images) // _SAMPLES)
    rules: dict[_Rule, None] = {}
    for image in sorted(images)[::step]:
        shared: defaultdict[str, int] = defaultdict(int)
        for token in set(_TOKEN.findall(image)):
            for other in by_token.get(token, ()):
                shared[other] += len(token) if token.isalnum() else 0
        partners = sorted(shared, key=lambda other: (-shared[other], len(other), other))[:_PARTNERS]
        for other in partners:
            rules.update(dict.fromkeys(_rules(image, other)))
    return list(rules)


def _rules(image: str, other: str) -> Iterator[_Rule]:
    """Yield the rules under which this picture and this file are one pair."""
    ours, theirs = _TOKEN.findall(image), _TOKEN.findall(other)
    for i in range(len(ours)):
        for j in range(len(theirs)):
            if ours[i] != theirs[j] or (i and j and ours[i - 1] == theirs[j - 1]):
                continue
            length = 0
            while i + length < len(ours) and j + length < len(theirs) and ours[i + length] == theirs[j + length]:
                length += 1
            # Separators at the ends are no part of what is shared: `{id}_training`, not `{id}training`.
            words = [k for k in range(length) if ours[i + k].isalnum()]
            if words:
                yield from _sound(
                    _around(ours, i + words[0], i + words[-1]), _around(theirs, j + words[0], j + words[-1])
                )
    head = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
    tail = next((n for n, (a, b) in enumerate(zip(ours[::-1], theirs[::-1], strict=False)) if a != b), 0)
    if head and tail and head + tail < min(len(ours), len(theirs)):
        yield from _sound(
            ("", "".join(ours[head : len(ours) - tail]), ""), ("", "".join(theirs[head : len(theirs) - tail]), "")
        )


def _around(tokens: list[str], first: int, last: int) -> tuple[str, str]:
    return "".join(tokens[:first]), "".join(tokens[last + 1 :])


def _sound(image: tuple[str, ...], other: tuple[str, ...]) -> Iterator[_Rule]:
    numbers = [re.findall(r"\d+", " ".join(fixed)) for fixed in (image, other)]
    if not (numbers[0] and numbers[1]) or numbers[0] == numbers[1]:
        yield _Rule(image, other)


def _without_doubtful(pairing: Pairing, image_stems: Mapping[Path, str], other_stems: Mapping[Path, str]) -> Pairing:
    """Return the pairing without partners whose name holds the whole name of another picture and not of their own."""
    by_stem = {stem: path for path, stem in image_stems.items()}
    doubtful: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = []
    pairs = dict(pairing.pairs)
    for image, other in pairing.pairs.items():
        tokens = _TOKEN.findall(other_stems[other])
        runs = {"".join(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)}
        owners = [by_stem[run] for run in sorted(runs) if run in by_stem]
        if owners and image not in owners:
            doubtful.append(((image, *owners), (other,)))
            del pairs[image]
    return Pairing(pairing.rule, pairs, pairing.unpaired, pairing.left_over, (*pairing.ambiguous, *doubtful))
