"""The models that are served: opened once, each under a name of its own, and what a client is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from ocuseg.bundle import Bundle
from ocuseg.metrics import listed_ids
from ocuseg.prediction import Predictor
from ocuseg.service.limits import Limits
from ocuseg.service.refusals import Refusal

__all__ = ["NOTICE", "ModelInfo", "ServedModel", "ServiceInfo", "choose", "describe_service", "name_models"]

NOTICE = "Research use, not a medical device."


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A bundle, its predictor, and its name in this service."""

    name: str
    bundle: Bundle
    predictor: Predictor


class ClassInfo(BaseModel):
    """A class of a model."""

    id: int
    name: str
    colour: str = Field(description="#rrggbb")
    parent: str | None = Field(description="The class that it is a part of.")
    listed: bool = Field(description="Whether areas have a row for it.")


class ModelInfo(BaseModel):
    """What is known of a model."""

    name: str
    digest: str = Field(description="SHA-256 of the bundle.")
    classes: list[ClassInfo]
    threshold: float | None = Field(description="That of class 1 of two classes; null where the most probable counts.")
    threshold_chosen_on: str | None
    measures: list[str]
    flags_pictures: bool = Field(description="Whether it knows which pictures it was made for.")
    scores: dict[str, Any]
    licence: str
    card: str = Field(description="The model card, Markdown.")
    runtime: str
    flips: bool


class ServedLimits(BaseModel):
    """What an upload may be."""

    image_bytes: int
    image_px: int
    batch_images: int
    batch_bytes: int
    upload_s: float
    compute_s: float


class ServiceInfo(BaseModel):
    """The models of a service, the first of which is taken where none is asked for, and its limits."""

    version: str
    notice: str
    models: list[ModelInfo]
    limits: ServedLimits


def name_models(opened: Sequence[tuple[Bundle, Predictor]]) -> dict[str, ServedModel]:
    """Return the models by their names, in order; where two bundles have one name, the later get a number."""
    models: dict[str, ServedModel] = {}
    for bundle, predictor in opened:
        name, number = bundle.info.name, 2
        while name in models:
            name, number = f"{bundle.info.name}-{number}", number + 1
        models[name] = ServedModel(name, bundle, predictor)
    return models


def choose(models: dict[str, ServedModel], name: str | None) -> ServedModel:
    """Return the model of that name, the first for None. Raises Refusal, 404, where there is none."""
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise Refusal(404, f"there is no model {name[:80]!r}; take one of {', '.join(models)}")
    return models[name]


def describe_service(models: dict[str, ServedModel], limits: Limits, version: str) -> ServiceInfo:
    """Return what `GET /v1/model` answers."""
    return ServiceInfo(
        version=version,
        notice=NOTICE,
        models=[_describe(model) for model in models.values()],
        limits=ServedLimits(**{name: getattr(limits, name) for name in ServedLimits.model_fields}),
    )


def _describe(model: ServedModel) -> ModelInfo:
    info, predictor = model.bundle.info, model.predictor
    return ModelInfo(
        name=model.name,
        digest=model.bundle.digest,
        classes=[
            ClassInfo(
                id=item.id,
                name=item.name,
                colour=item.colour,
                parent=item.parent,
                listed=item.id in listed_ids(predictor.classes),
            )
            for item in predictor.classes.items
        ],
        threshold=predictor.threshold,
        threshold_chosen_on=info.threshold_chosen_on,
        measures=list(predictor.measures),
        flags_pictures=predictor.made_for is not None,
        scores=info.scores,
        licence=info.licence,
        card=model.bundle.card_path.read_text(encoding="utf-8"),
        runtime=getattr(predictor.network, "name", "unknown"),
        flips=predictor.flips,
    )
