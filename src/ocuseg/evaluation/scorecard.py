"""What is known after an evaluation: collected image by image, then scored as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError
from ocuseg.evaluation.cases import RegionRule
from ocuseg.evaluation.cautions import (
    cautions_about_classes,
    cautions_about_images,
    cautions_about_origin,
    few_units,
)
from ocuseg.evaluation.counting import MaskCounts
from ocuseg.evaluation.curves import Curve, calibration_bins, precision_recall
from ocuseg.evaluation.judgement import judge_dead
from ocuseg.evaluation.measuring import Measured, PackedMask
from ocuseg.evaluation.scores import (
    RESAMPLES,
    SEED,
    LevelTally,
    MaskTally,
    foreground,
    image_table,
    level_scores,
    mask_scores,
    merged_for_intervals,
    oracle_gap,
)
from ocuseg.index.records import Record
from ocuseg.metrics import (
    LEVELS,
    THRESHOLDS,
    Counts,
    counts_of,
    dice,
    listed_ids,
    mean_foreground,
    number,
    shares_of_parent,
    sweep,
)
from ocuseg.metrics.ranking import auc

__all__ = ["METRIC_RULE", "THRESHOLDS", "Evaluation", "Scorecard"]

METRIC_RULE = "ocuseg metric rule 1"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The scores of one model on one set of images, and what is needed to write and show them.

    `metrics` is the content of `metrics.json`. `table` holds the scores of each image and class, (N, C), in the order
    of `records`; `areas_reference` and `areas_prediction` are pixels (N, C) inside the region. `sweep` counts (F, 99)
    and the F `curves` are pooled, for each foreground class against the rest. `failures` are lines about images that
    could not be scored, `dead` about classes that were not learnt, `warnings` about anything else that a reader must
    know.
    """

    metrics: dict[str, Any]
    classes: Classes
    records: tuple[Record, ...]
    encoding: MaskEncoding
    region: RegionRule
    confusion: NDArray[np.int64]
    table: dict[str, NDArray[np.float64]]
    second_dice: NDArray[np.float64] | None
    areas_reference: NDArray[np.int64]
    areas_prediction: NDArray[np.int64]
    sweep: Counts
    curves: tuple[Curve, ...]
    packed_masks: tuple[PackedMask, ...]
    failures: tuple[str, ...]
    dead: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json`, in plain types."""
        return self.metrics

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Return the predicted mask (H, W) of one of `records`."""
        return self.packed_masks[index].unpack()

    def image_rows(self) -> list[dict[str, Any]]:
        """Return a row for each image and class for `per_image.csv`: counts, scores, areas; undefined is None.

        Two classes have one row per image, that of class 1; of more classes the background has one too.
        """
        parts = [shares_of_parent(areas, self.classes) for areas in (self.areas_reference, self.areas_prediction)]
        pixels = self.areas_reference.sum(axis=1)
        rows = []
        for index, record in enumerate(self.records):
            for class_id in listed_ids(self.classes):
                row: dict[str, Any] = {"image": record.name, "group": record.group or ""}
                row |= {"class_id": class_id, "class": self.classes.names[class_id], "pixels": int(pixels[index])}
                row["reference_px"] = int(self.areas_reference[index, class_id])
                row["prediction_px"] = int(self.areas_prediction[index, class_id])
                row |= {name: number(values[index, class_id]) for name, values in self.table.items()}
                total = max(1, int(pixels[index]))
                row["reference_share"] = number(row["reference_px"] / total)
                row["prediction_share"] = number(row["prediction_px"] / total)
                row["reference_share_of_parent"] = number(parts[0][index, class_id])
                row["prediction_share_of_parent"] = number(parts[1][index, class_id])
                if self.second_dice is not None:
                    row["second_observer_dice"] = number(self.second_dice[index, class_id])
                rows.append(row)
        return rows

    def best_first(self) -> list[int]:
        """Return the positions of `records`, highest mean foreground Dice first, undefined last."""
        scores = self.image_dice()
        return sorted(range(len(scores)), key=lambda index: (np.isnan(scores[index]), -np.nan_to_num(scores[index])))

    def worst_first(self) -> list[int]:
        """Return the positions of `records`, lowest mean foreground Dice first, undefined last."""
        scores = self.image_dice()
        return sorted(range(len(scores)), key=lambda index: (np.isnan(scores[index]), np.nan_to_num(scores[index])))

    def image_dice(self) -> NDArray[np.float64]:
        """Return the mean foreground Dice of each image (N,), NaN where no foreground class is in either mask."""
        return mean_foreground(self.table["dice"])


class Scorecard:
    """Collects what was measured, in bounded memory, and gives the Evaluation at the end."""

    def __init__(
        self,
        classes: Classes,
        encoding: MaskEncoding,
        region: RegionRule,
        failures: Iterable[str] = (),
        warnings: Iterable[str] = (),
    ) -> None:
        self._classes = classes
        self._encoding = encoding
        self._region = region
        self._failures = list(failures)
        self._notes = list(warnings)
        self._measured: list[Measured] = []
        self._histograms = np.zeros((classes.out_channels, 2, LEVELS), dtype=np.int64)
        self._confidence = np.zeros((2, LEVELS), dtype=np.int64)
        self._by_group: dict[str, NDArray[np.int64]] = {}

    def add(self, item: Measured | DataError) -> None:
        """Take one image, or the reason why it has no scores."""
        if isinstance(item, DataError):
            self._failures.append(str(item))
            return
        if item.problem:
            self._failures.append(item.problem)
        self._histograms += item.histograms
        self._confidence += item.confidence
        merged = merged_for_intervals(item.histograms)
        group = item.record.unit
        self._by_group[group] = self._by_group[group] + merged if group in self._by_group else merged
        nothing = np.zeros((0, 2, 0), dtype=np.int64)
        self._measured.append(replace(item, histograms=nothing, confidence=nothing))

    def evaluation(self, provenance: Mapping[str, Any], threshold: float | None) -> Evaluation:
        """Return the scores of all images that were taken. Raises DataError where there are none."""
        if not self._measured:
            first = f", the first because of {self._failures[0]}" if self._failures else ""
            raise DataError(f"no image could be scored{first}; run 'ocuseg check' on the data set")
        tally = _tally([item.masks for item in self._measured], [item.record for item in self._measured])
        confusion = tally.confusion.sum(axis=0)
        scores = mask_scores(tally, self._classes)
        levels = LevelTally(
            np.stack([item.auc for item in self._measured]),
            np.stack([item.average_precision for item in self._measured]),
            self._histograms,
            self._confidence,
            self._by_group,
        )
        ranked, calibration = level_scores(levels, tally.groups)
        for row, ranking in zip(scores["classes"], ranked, strict=True):
            row |= ranking
        aucs = [float(value) for value in auc(foreground(self._histograms))]
        dead = tuple(judge_dead(confusion, self._classes.names, aucs))
        swept = sweep(foreground(self._histograms), THRESHOLDS)
        second, second_dice = self._second_observer(tally)
        table = image_table(tally)
        table["auc"], table["average_precision"] = (
            np.concatenate([np.full((len(values), 1), np.nan), values], axis=1)
            for values in (levels.auc, levels.average_precision)
        )
        warnings = self._warnings(confusion, scores["classes"], dead, provenance)
        header = self._header(provenance, threshold, tally.groups)
        header |= {"dead": list(dead), "warnings": warnings, "failures": list(self._failures)}
        table_of_counts = {"classes": list(self._classes.names), "counts": confusion.tolist()}
        gap = None if threshold is None else oracle_gap(swept, THRESHOLDS, scores["classes"][0]["dice"]["pooled"])
        return Evaluation(
            metrics={
                **header,
                **scores,
                "confusion": table_of_counts,
                "calibration": {**calibration, "bins": calibration_bins(self._confidence)},
                "oracle_gap": gap,
                "second_observer": second,
            },
            classes=self._classes,
            records=tuple(item.record for item in self._measured),
            encoding=self._encoding,
            region=self._region,
            confusion=confusion,
            table=table,
            second_dice=second_dice,
            areas_reference=tally.confusion.sum(axis=2),
            areas_prediction=tally.confusion.sum(axis=1),
            sweep=swept,
            curves=tuple(precision_recall(histogram) for histogram in foreground(self._histograms)),
            packed_masks=tuple(item.prediction for item in self._measured),
            failures=tuple(self._failures),
            dead=dead,
            warnings=tuple(warnings),
        )

    def _second_observer(self, tally: MaskTally) -> tuple[dict[str, Any] | None, NDArray[np.float64] | None]:
        """The scores of the second masks against the first, and their Dice per image (N, C); None without any."""
        pairs = [(index, item.second) for index, item in enumerate(self._measured) if item.second is not None]
        if not pairs:
            return None, None
        kept = [index for index, _ in pairs]
        second = _tally([counts for _, counts in pairs], [self._measured[index].record for index in kept])
        scores = {"images": len(kept), **mask_scores(second, self._classes)}
        if len(kept) < len(self._measured):
            # Only on the same images do the two stand side by side.
            scores["model_on_same_images"] = mask_scores(tally.subset(kept), self._classes)
        by_image = np.full((len(self._measured), len(self._classes)), np.nan)
        by_image[kept] = dice(counts_of(second.confusion))
        return scores, by_image

    def _header(self, provenance: Mapping[str, Any], threshold: float | None, groups: Sequence[str]) -> dict[str, Any]:
        bounded = sum(item.has_field_of_view for item in self._measured)
        has_groups = any(item.record.group is not None for item in self._measured)
        return {
            "schema": 1,
            "rule": METRIC_RULE,
            **dict.fromkeys(("model", "model_hash", "split", "data_hash")),
            **provenance,
            "images": len(self._measured),
            "resolution": "native",
            "region": "field_of_view" if bounded else "image",
            "region_images": {"field_of_view": bounded, "image": len(self._measured) - bounded},
            "decision": "most probable class" if threshold is None else "threshold",
            "threshold": threshold,
            "threshold_chosen_on": provenance.get("threshold_chosen_on"),
            "intervals": {
                "method": "percentile bootstrap",
                "of": "pooled (hd95_px: per_image)",
                "level": 0.95,
                "resamples": RESAMPLES,
                "seed": SEED,
                "over": "groups" if has_groups else "images",
                "units": len(set(groups)),
                "ranking_levels": next(iter(self._by_group.values())).shape[-1],
            },
        }

    def _warnings(
        self,
        confusion: NDArray[np.int64],
        rows: list[dict[str, Any]],
        dead: Sequence[str],
        provenance: Mapping[str, Any],
    ) -> list[str]:
        bounded = sum(item.has_field_of_view for item in self._measured)
        left_aside = self._region == "image" and any(item.record.field_of_view for item in self._measured)
        return [
            *self._notes,
            *cautions_about_images(len(self._measured), bounded, is_whole_image_asked=left_aside),
            *cautions_about_classes(confusion, rows, dead),
            *cautions_about_origin(provenance),
            *few_units(len({item.record.unit for item in self._measured})),
        ]


def _tally(counts: Sequence[MaskCounts], records: Sequence[Record]) -> MaskTally:
    first = counts[0]
    return MaskTally(
        tuple(record.unit for record in records),
        np.stack([one.confusion for one in counts]),
        None if first.borders is None else np.stack([one.borders for one in counts if one.borders is not None]),
        None if first.hd95_px is None else np.stack([one.hd95_px for one in counts if one.hd95_px is not None]),
        None if first.threads is None else np.stack([one.threads for one in counts if one.threads is not None]),
    )
