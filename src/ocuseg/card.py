"""The model card of a bundle: what a reader must know before using the model, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["model_card"]

_SCORE_KEYS = ("pooled", "per_image", "ci95")
_LONGEST_PART = 8

_TEMPLATE = """# {name}

A model that segments images of the eye into {classes}. Made with ocuseg {version}.

**For research use. It is not a medical device**: it was not assessed for diagnosis, treatment or any other clinical
decision, and must not be used for one.

## Use

```
ocuseg predict BUNDLE IMAGE --out DIR
```

```python
import ocuseg

predictor = ocuseg.load("BUNDLE")
result = predictor("eye.jpg")
result.mask, result.probabilities, result.overlay()
```

`BUNDLE` is this folder. `model.onnx` takes float32 images (N, 3, H, W), prepared as `bundle.json` says, and gives
logits.

## Classes

| id | name |
|---|---|
{class_rows}

## Trained on

{trained_on}

## Scores

{scores}

{precision}## Threshold

{threshold}

## Preparation of images

{preprocessing}

## Limits

- The scores hold for images like those that it was trained and tested on. Another camera, population, field of view or
  image quality can lower them much: test the model on your own images with references first (`ocuseg evaluate`).
- A pixel's probability is that of the network; it is calibrated only as far as the scores above say.
- Images are brought to the size that the network needs; structures that vanish there are not found.{made_for}

## Licence

{licence}
"""


def model_card(info: Mapping[str, Any]) -> str:
    """Return the README of a bundle from the content of its `bundle.json`."""
    classes = [row for row in info["classes"] if not row.get("ignore")]
    names = [str(row["name"]) for row in classes]
    return _TEMPLATE.format(
        name=info["name"],
        classes=f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0],
        version=info["ocuseg_version"],
        class_rows="\n".join(f"| {row['id']} | {_cell(row['name'])} |" for row in classes),
        trained_on=_trained_on(info["trained_on"]) or "Not recorded.",
        scores=_scores(info["scores"]),
        precision=_precision(info.get("quantisation")),
        threshold=_threshold(info, names),
        preprocessing=_lines(info["preprocessing"]),
        made_for=_made_for(info.get("made_for")),
        licence=info["licence"] or "Not given: ask whoever made this model before using it.",
    )


def _trained_on(facts: Mapping[str, Any]) -> str:
    groups = facts.get("groups")
    known = {split: count for split, count in groups.items() if count} if isinstance(groups, Mapping) else groups
    return _lines({**facts, "groups": known or "not known"} if "groups" in facts else facts)


def _precision(quantisation: Mapping[str, Any] | None) -> str:
    """The section of an int8 bundle, which others lack."""
    if quantisation is None:
        return ""
    rows = "\n".join(
        f"| {_cell(row['name'])} | {_number(row['fp32'])} | {_number(row['int8'])} |" for row in quantisation["dice"]
    )
    return (
        f"## Precision\n\nint8, calibrated on {quantisation['calibration_images']} training images. Dice, pooled, on "
        f"{quantisation['measured_on']}:\n\n| class | fp32 | int8 |\n|---|---|---|\n{rows}\n\n"
    )


def _made_for(pictures: Sequence[Mapping[str, Any]] | None) -> str:
    """A line on the rule by which images are flagged, which older bundles lack."""
    if not pictures:
        return ""
    names = dict.fromkeys(name for picture in pictures for name in picture)
    return (
        f"\n- An image is flagged as not what the model was made for where it is like none of {len(pictures)} "
        f"images that it was trained and chosen on, within a margin for other cameras, in all of: {', '.join(names)} "
        "(`made_for` in `bundle.json`). What is not flagged may still be segmented badly."
    )


def _threshold(info: Mapping[str, Any], names: list[str]) -> str:
    if len(names) != 2:
        return "None: each pixel takes its most probable class."
    if info["threshold"] is None:
        return f"A pixel is {names[1]} from a probability of 0.5 on; no other threshold was chosen."
    chosen = f", chosen on {info['threshold_chosen_on']}" if info["threshold_chosen_on"] else ""
    return f"A pixel is {names[1]} from a probability of {info['threshold']:g} on{chosen}."


def _scores(scores: Mapping[str, Any]) -> str:
    rows = [
        f"| {_cell(label.replace('_', ' '))} | {_number(score.get('pooled'))} | {_number(score.get('per_image'))} "
        f"| {_interval(score.get('ci95'))} | {_number(score.get('images'))} |"
        for label, score in _walk_scores(scores, "")
    ]
    facts = _lines({key: value for key, value in scores.items() if not isinstance(value, Mapping | list)})
    if not rows:
        return facts or "None were measured."
    table = "\n".join(["| score | pooled | per image | 95 % interval | images |", "|---|---|---|---|---|", *rows])
    return f"{facts}\n\n{table}" if facts else table


def _walk_scores(content: Any, label: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each entry of the shape that `metrics.json` gives a score, labelled by the keys and class names above it."""
    if isinstance(content, Mapping):
        if any(key in content for key in _SCORE_KEYS):
            yield label, content
            return
        label = f"{label} {content['name']}".strip() if "name" in content else label
        for key, value in content.items():
            yield from _walk_scores(value, label if key == "classes" else f"{label} {key}".strip())
    elif isinstance(content, list):
        for value in content:
            yield from _walk_scores(value, label)


def _lines(content: Mapping[str, Any], label: str = "") -> str:
    lines: list[str] = []
    for key, value in content.items():
        name = f"{label}{key}".replace("_", " ")
        if isinstance(value, Mapping | list) and len(value) > _LONGEST_PART:
            title = value.get("name") if isinstance(value, Mapping) else None
            lines.append(f"- {name}: {title or f'{len(value)} entries'}, in full in `bundle.json`")
        elif isinstance(value, Mapping):
            lines.append(_lines(value, f"{name}, "))
        elif value is not None:
            text = ", ".join(map(_number, value)) if isinstance(value, list) else _number(value)
            lines.append(f"- {name}: {' '.join(text.split())}")
    return "\n".join(line for line in lines if line)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _interval(value: Any) -> str:
    return f"{_number(value[0])} to {_number(value[1])}" if value else "–"


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
