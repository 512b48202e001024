"""From a model to its Predictor."""

from __future__ import annotations

from pathlib import Path

from ocuseg.bundle import Bundle, find_bundle, load_bundle
from ocuseg.geometry import Preprocessing
from ocuseg.geometry import flips as all_flips
from ocuseg.prediction.predictor import Predictor
from ocuseg.runtime import open_runtime

__all__ = ["open_predictor"]


def open_predictor(
    model: str | Path | Bundle,
    runtime: str = "auto",
    *,
    flips: bool | None = None,
    threshold: float | None = None,
    tile_px: int | None = None,
    threads: int | None = None,
    precision: str = "auto",
    images: int | None = None,
) -> Predictor:
    """Return the predictor of a shipped model, a run folder or a bundle.

    What is None is as the bundle says (`threads`: all usable cores). `images` is how many will be predicted, None for
    many or unknown: for a few small ones the runtime that starts fastest is taken. Raises UsageError for an unknown
    name, ModelError for a bundle that cannot be used.
    """
    bundle = model if isinstance(model, Bundle) else load_bundle(find_bundle(model))
    settings = bundle.info.prediction
    tile = settings["tile_px"] if tile_px is None else tile_px
    flips = settings["flips"] if flips is None else flips
    work_px = None if images is None else _work_px(bundle.preprocessing, images, flips)
    return Predictor(
        open_runtime(bundle, runtime, threads=threads, precision=precision, work_px=work_px),
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        tile_px=tile,
        overlap_px=min(settings["overlap_px"], tile // 2),
        flips=flips,
        smallest_piece_px=settings.get("smallest_piece_px"),
        threshold=bundle.info.threshold if threshold is None else threshold,
        name=bundle.info.name,
        measures=bundle.info.measures,
        made_for=bundle.info.made_for,
        usual_doubts=settings.get("usual_doubts"),
    )


def _work_px(preprocessing: Preprocessing, images: int, average_flips: bool) -> int | None:
    """Pixels that `images` send through the network; None where that depends on the images."""
    if preprocessing.find_scale:
        return None
    diameter = preprocessing.field_of_view_diameter_px
    size = preprocessing.size or (None if diameter is None else (diameter, diameter))
    return None if size is None else images * size[0] * size[1] * (len(all_flips) if average_flips else 1)
