"""What a reader must know first: faults, the main scores in words and in numbers, and what made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ocuseg.reporting.markup import boxed, facts, tile
from ocuseg.reporting.tables import origin_text, runtime_text, shown, shown_interval

__all__ = ["percent", "protocol", "repetition", "summary", "thresholds_listed"]


def summary(metrics: Mapping[str, Any]) -> list[str]:
    """Return the head of a report: what was scored, faults and warnings, the main scores, the line of the protocol."""
    return [
        f'<p class="soft">{escape(_subtitle(metrics))}</p>',
        *_boxes(metrics),
        f'<p class="lead">{escape(_in_words(metrics))}</p>',
        _tiles(metrics),
        f'<p class="protocol soft"><strong>Protocol:</strong> {escape(origin_text(metrics))}; '
        f"{escape(_decision(metrics))}</p>",
    ]


def protocol(metrics: Mapping[str, Any]) -> str:
    """Return all that made the scores, as a table of facts."""
    counted = metrics["region_images"]
    region = "the field of view" if metrics["region"] == "field_of_view" else "the whole image"
    if counted["field_of_view"] and counted["image"]:
        region += f" of {counted['field_of_view']} images, all of the other {counted['image']}"
    known = {"rule", "model", "model_hash", "data_hash", "split", "runtime", "flips", "command"}
    values = [
        ("metric rule", metrics["rule"]),
        ("model", metrics["model"]),
        ("model hash (SHA-256)", metrics["model_hash"]),
        ("data hash (SHA-256)", metrics["data_hash"]),
        ("split", metrics["split"]),
        ("images", metrics["images"]),
        ("size", "native: probabilities are brought back to the image's own size, then decided"),
        ("pixels that count", f"{region}, less ignored pixels"),
        ("decision", _decision(metrics)),
        ("pooled", "scores of the summed counts of all images"),
        ("mean over images", "of the images where the score is defined; their number is given"),
        ("intervals", _intervals(metrics["intervals"])),
        ("AUC, average precision", "exact on 65,536 levels"),
        ("runtime", runtime_text(metrics)),
    ]
    return facts([*values, *((key.replace("_", " "), value) for key, value in _further(metrics, known))])


def repetition(metrics: Mapping[str, Any]) -> list[str]:
    """Return the command that makes the scores again, and the versions that made them, where they are known."""
    command, versions = metrics.get("command"), metrics.get("versions") or {}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return [
        *([f"<pre><code>{escape(command)}</code></pre>"] if command else []),
        *([f'<p class="wide">Made with {escape(listed)}.</p>'] if listed else []),
    ]


def percent(share: float | None) -> str:
    """Return a share with three digits, as percent."""
    return "undefined" if share is None else f"{100 * share:#.3g} %"


def thresholds_listed(thresholds: Sequence[float]) -> str:
    """Return thresholds with two decimals, one after the other."""
    return ", ".join(f"{threshold:.2f}" for threshold in thresholds)


def _subtitle(metrics: Mapping[str, Any]) -> str:
    where = "inside the field of view" if metrics["region"] == "field_of_view" else "over the whole image"
    count = metrics["images"]
    return f"{count} image{'' if count == 1 else 's'}, scored at native size {where}"


def _boxes(metrics: Mapping[str, Any]) -> list[str]:
    for_some = " for some classes" if len(metrics["dead"]) < len(metrics["classes"]) else ""
    kinds = (
        ("dead", f"This network is dead{for_some}: do not use it", metrics["dead"]),
        ("failed", "Not everything could be scored", metrics["failures"]),
        ("warned", "Read the scores with this in mind", metrics["warnings"]),
    )
    return [boxed(kind, heading, lines) for kind, heading, lines in kinds if lines]


def _in_words(metrics: Mapping[str, Any]) -> str:
    """What the main scores mean, for a reader who knows none of their names."""
    observer, mean = metrics["second_observer"], metrics["mean_foreground"]["dice"]
    if len(metrics["classes"]) == 1:
        row = metrics["classes"][0]
        words = (
            f"Of the pixels that the reference marks as {row['name']}, the model found "
            f"{percent(row['recall']['pooled'])}; of those that it marked, {percent(row['precision']['pooled'])} are "
            f"right. "
        )
        words += f"Both together make a Dice of {shown(row['dice']['pooled'])}"
    else:
        scored = [row for row in metrics["classes"] if row["dice"]["pooled"] is not None]
        ranked = sorted(scored, key=lambda row: row["dice"]["pooled"])
        words = f"Of all pixels that count, {percent(metrics['pixel_accuracy']['pooled'])} have the right class. "
        if ranked:
            best, worst = ranked[-1], ranked[0]
            words += (
                f"The overlap with the reference (Dice, 1 is best) is highest for {best['name']}, "
                f"{shown(best['dice']['pooled'])}, and lowest for {worst['name']}, {shown(worst['dice']['pooled'])}. "
            )
        which = "" if len(scored) == len(metrics["classes"]) else " that are in the images or the masks"
        words += f"Its mean over the {len(scored)} classes{which} is {shown(mean['pooled'])}"
    if mean["ci95"]:
        words += f" (95 % interval {shown_interval(mean['ci95'])})"
    if observer is None:
        return words + "."
    second = shown(observer["mean_foreground"]["dice"]["pooled"])
    if "model_on_same_images" not in observer:
        return f"{words}; a second person, compared with the same reference, reaches {second}."
    same = shown(observer["model_on_same_images"]["mean_foreground"]["dice"]["pooled"])
    return (
        f"{words}. A second person drew {observer['images']} of the images and reaches {second}; "
        f"on these the model has {same}."
    )


def _tiles(metrics: Mapping[str, Any]) -> str:
    first, observer = metrics["classes"][0], metrics["second_observer"]
    if len(metrics["classes"]) > 1:
        tiles = [
            ("mean Dice, foreground", metrics["mean_foreground"]["dice"], "pooled"),
            ("mean IoU, with background", metrics["mean_all"]["iou"], "pooled"),
            ("mean Dice, foreground", metrics["mean_foreground"]["dice"], "per_image"),
            ("pixel accuracy", metrics["pixel_accuracy"], "pooled"),
        ]
    else:
        tiles = [
            ("Dice", first["dice"], "pooled"),
            ("Dice", first["dice"], "per_image"),
            ("AUC", first["auc"], "pooled"),
        ]
        if "cldice" in first:
            tiles.append(("clDice", first["cldice"], "pooled"))
        elif "nsd" in first:
            tiles.append(("NSD, 1 px", first["nsd"], "pooled"))
    if observer is not None:
        name = "second observer, Dice" if len(metrics["classes"]) == 1 else "second observer, mean Dice"
        tiles.append((name, observer["mean_foreground"]["dice"], "pooled"))
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(name: str, score: Mapping[str, Any], reduction: str) -> str:
    if reduction == "pooled":
        note = f"pooled, {shown_interval(score['ci95'])}" if score["ci95"] else "pooled"
    else:
        note = f"mean of {score['images']} images"
    return tile(name, shown(score[reduction]), note)


def _further(metrics: Mapping[str, Any], known: set[str]) -> Iterable[tuple[str, Any]]:
    """What else was said about the model, before the scores begin."""
    for key, value in metrics.items():
        if key == "images":
            return
        if key not in known and key not in ("schema", "threshold_chosen_on") and isinstance(value, str | int | float):
            yield key, value


def _intervals(settings: Mapping[str, Any]) -> str:
    if settings["units"] < 2:
        return "none, as there is only one image, person, eye or video"
    units = "persons, eyes or videos" if settings["over"] == "groups" else "images"
    return (
        f"95 %, of the pooled score (HD95: of the mean), percentile bootstrap, {settings['resamples']} resamples of "
        f"{settings['units']} {units}, seed {settings['seed']}; for AUC and average precision on "
        f"{settings['ranking_levels']} levels"
    )


def _decision(metrics: Mapping[str, Any]) -> str:
    if "thresholds" in metrics:
        return f"probability at or above the threshold of the image's fold: {thresholds_listed(metrics['thresholds'])}"
    if metrics["threshold"] is None:
        return "the most probable class"
    chosen = metrics["threshold_chosen_on"]
    return f"probability at or above {metrics['threshold']:.4g}" + (f", chosen on {chosen}" if chosen else "")
