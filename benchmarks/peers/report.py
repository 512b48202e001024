"""Measured rows to a Markdown table, and that table to its place in the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
UNITS = {"_s": "s", "_mb": "MB"}
HEADER = "| work | ocuseg | | against | | ratio | at least | |\n|---|---|---|---|---|---|---|---|"
AGREEMENT = 0.002


def ratios(ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]], measure: str) -> list[float]:
    """Return how many times as much the peer needed as we did, in each round that both have measured."""
    both = zip(ours, theirs, strict=False)
    return [other[measure] / own[measure] for own, other in both if measure in own and measure in other]


def page(results: dict[str, dict[str, Any]]) -> str:
    """Return the tables of all rows that were measured, and what is to be known of them."""
    lines = [HEADER]
    slower: list[str] = []
    notes: list[str] = []
    for name, row in results.items():
        for comparison in row["comparisons"]:
            ours, theirs, found = _sides(comparison, row["contenders"])
            lines.append(_line(comparison, ours, theirs, found))
            if found and statistics.median(found) < 1:
                slower.append(f"- {comparison['work']}: {theirs[0]} {theirs[1]}, {ours[0]} {ours[1]}")
        notes += [f"- `{name}`: {text}" for text in (row["note"], *_said(row)) if text]
    parts = ["\n".join(lines), *map(_measured_on, _alike(results))]
    if any(row["tiny"] for row in results.values()):
        parts.insert(0, "**Sizes that only show that all of it runs (`--tiny`): these figures mean nothing.**")
    parts.append("Where a peer is faster or needs less:\n\n" + "\n".join(slower) if slower else "No peer was faster.")
    if notes:
        parts.append("Notes:\n\n" + "\n".join(notes))
    return "\n\n".join(parts) + "\n"


def write_between(path: Path, text: str) -> None:
    """Put `text` between the markers of a document. Raises ValueError where it has not both."""
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: lacks the lines '{BEGIN}' and '{END}'; put them where the table belongs")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def disagreements(contenders: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each result, `same_...`, that two contenders should have in common and have not."""
    first: dict[str, tuple[str, float]] = {}
    for name, outcome in contenders.items():
        for key, value in (outcome["turns"] or [{}])[-1].items():
            if not key.startswith("same_"):
                continue
            other, expected = first.setdefault(key, (name, value))
            if not abs(value - expected) <= AGREEMENT:  # so that NaN does not pass
                yield f"{name} and {other} do not agree on {key.removeprefix('same_')}: {value:.4f}, {expected:.4f}"


def _sides(
    comparison: dict[str, Any], contenders: dict[str, dict[str, Any]]
) -> tuple[tuple[str, str], tuple[str, str], list[float]]:
    """Return our name and amount, the peer's, and the ratios of the rounds; for an amount, why there is none."""
    measure = comparison["measure"]
    said = []
    for side in ("ours", "theirs"):
        outcome = contenders[comparison[side]]
        values = [turn[measure] for turn in outcome["turns"] if measure in turn]
        said.append((comparison[side], _amount(values, measure) if values else outcome["failure"] or "not known here"))
    turns = [contenders[comparison[side]]["turns"] for side in ("ours", "theirs")]
    return said[0], said[1], ratios(turns[0], turns[1], measure)


def _line(comparison: dict[str, Any], ours: tuple[str, str], theirs: tuple[str, str], found: Sequence[float]) -> str:
    bar = comparison["bar"]
    cells = [comparison["work"], *ours, *theirs]
    cells.append(f"**{_spread(found)}**" if found else "")
    cells.append("" if bar is None else f"{bar:g}")
    cells.append("" if bar is None or not found else "reached" if statistics.median(found) >= bar else "**missed**")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _amount(values: Sequence[float], measure: str) -> str:
    unit = next(unit for ending, unit in UNITS.items() if measure.endswith(ending))
    if unit == "s" and max(values) < 1:
        values, unit = [1000 * value for value in values], "ms"
    return f"{_spread(values)} {unit}"


def _spread(values: Sequence[float]) -> str:
    """Return the median, and the smallest and largest where there are several."""
    said = [_three_digits(value) for value in (statistics.median(values), min(values), max(values))]
    return said[0] if len(values) == 1 else f"{said[0]} ({said[1]} to {said[2]})"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _said(row: dict[str, Any]) -> Iterator[str]:
    yield from disagreements(row["contenders"])
    runtimes = {name: outcome["facts"].get("runtime") for name, outcome in row["contenders"].items()}
    taken = ", ".join(f"{name.rpartition(', ')[2]} was {used}" for name, used in runtimes.items() if used)
    if taken:
        yield f"{taken}."
    counts = {name: outcome["facts"].get("parameters") for name, outcome in row["contenders"].items()}
    if len({count for count in counts.values() if count}) > 1:
        yield "parameters: " + ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in counts.items() if count) + "."


def _alike(results: dict[str, dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Return the rows that were measured alike, with what they were measured on."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    for name, row in results.items():
        alike = next((names for names, other in found if _facts(other) == _facts(row)), None)
        if alike is None:
            found.append(([name], row))
        else:
            alike.append(name)
    return found


def _facts(row: dict[str, Any]) -> list[Any]:
    return [row[key] for key in ("date", "machine", "versions", "sizes", "rounds")]


def _measured_on(group: tuple[list[str], dict[str, Any]]) -> str:
    names, row = group
    machine, versions = row["machine"], row["versions"]
    features = ", ".join(machine["features"])
    packages = "; ".join(
        f"{where}: {', '.join(f'{name} {number}' for name, number in found.items())}"
        for where, found in versions.items() if found
    )  # fmt: skip
    return (
        f"Rows {', '.join(f'`{name}`' for name in names)}: {row['date']}, {machine['processor']}, "
        f"{machine['cores']} cores ({features or 'no vector features known'}), {machine['system']}; {packages}. "
        f"Medians with smallest and largest of at most {row['rounds']} rounds. A ratio is that of one round; "
        "its median is given, with the smallest and largest."
    )
