"""The parts of a recipe that are settings of their own: preprocessing, augmentation, prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

__all__ = ["AugmentationSettings", "Positive", "PredictionSettings", "PreprocessingSettings", "Settings"]

Positive = Annotated[int, Field(ge=1)]
"""A count."""
_Range = tuple[float, float]

_FREE_FORM = ("network", "classes")  # checked where they are used


class Settings(BaseModel):
    """Settings that are all known, do not change, and are no truth values where numbers are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where they are not wanted: pydantic would take them for 1 and 0."""
        kind = cls.model_fields[str(info.field_name)].annotation
        own = get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, bool | BaseModel))
        if not own and info.field_name not in _FREE_FORM and _holds_truth(value):
            raise ValueError("true and false are not accepted here")
        return value


class PreprocessingSettings(Settings):
    """What is done to an image before the network sees it, in training and in prediction alike."""

    crop: Literal["none", "field_of_view"] = "none"
    size: tuple[Positive, Positive] | None = None
    field_of_view_diameter_px: Annotated[int, Field(ge=16)] | None = None
    vessel_width_px: Annotated[float, Field(ge=1, le=100)] | None = None
    even_light: Annotated[float, Field(gt=0, le=1)] | None = None
    channel: Literal["all", "green"] = "all"
    mean: Literal["measured"] | tuple[float, float, float] = "measured"
    std: Literal["measured"] | tuple[float, float, float] = "measured"

    @property
    def scales(self) -> list[str]:
        """The keys that set the scale of images; more than one is an error, and none leaves the pixels as they are."""
        return [key for key in ("size", "field_of_view_diameter_px", "vessel_width_px") if getattr(self, key)]

    @model_validator(mode="after")
    def _one_way_to_scale(self) -> PreprocessingSettings:
        if len(self.scales) > 1:
            raise ValueError(f"give one of {', '.join(map(repr, self.scales))}")
        if (self.mean == "measured") != (self.std == "measured"):
            raise ValueError("give both 'mean' and 'std', or leave both 'measured'")
        return self


class AugmentationSettings(Settings):
    """How a training image may be changed; every range is drawn from uniformly, every probability is per image."""

    flip_horizontal: Annotated[float, Field(ge=0, le=1)] = 0.5
    flip_vertical: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 180.0
    scale: _Range = (0.8, 1.25)
    shift: Annotated[float, Field(ge=0, le=1)] = 0.05
    elastic: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.15
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.2
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.2
    colour: Annotated[float, Field(ge=0, le=1)] = 0.1
    blur: Annotated[float, Field(ge=0, le=1)] = 0.1
    blur_px: _Range = (0.5, 1.5)
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02
    illumination: Annotated[float, Field(ge=0, le=2)] = 0.0
    tone: Annotated[float, Field(ge=0, le=4)] = 0.0
    mix_colours: Annotated[float, Field(ge=0, le=1)] = 0.0
    channels: Annotated[float, Field(ge=0, le=1)] = 0.0
    resolution: Annotated[float, Field(ge=0, le=1)] = 0.0
    jpeg: Annotated[float, Field(ge=0, le=1)] = 0.0


class PredictionSettings(Settings):
    """How whole images are predicted: in tiles above a size, averaged over flips on request."""

    tile_px: Annotated[int, Field(ge=32)] = 1024
    overlap_px: Annotated[int, Field(ge=0)] = 128
    flips: bool = False
    smallest_piece_px: Annotated[int, Field(ge=1)] | None = None


def _holds_truth(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_truth, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_truth, value))
    return isinstance(value, bool)
