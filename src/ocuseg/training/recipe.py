"""The settings of one training run, validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ocuseg.errors import RecipeError
from ocuseg.files import write_text
from ocuseg.training.explaining import explain
from ocuseg.training.settings import AugmentationSettings, Positive, PredictionSettings, PreprocessingSettings, Settings
from ocuseg.wording import meant

__all__ = ["RECIPE_VERSION", "Recipe", "load_recipe", "recipe_descriptions", "recipe_names", "save_recipe"]

RECIPE_VERSION = 1

_DATA_KEYS = (
    "image_pattern", "mask_pattern", "group_pattern", "split_ratios", "split_seed",
    "mask_values", "mask_threshold", "ignore_index",
)  # fmt: skip
_WORDS = ("name", "description", "image_pattern", "mask_pattern", "group_pattern", "start_from", "encoder_weights")


class Recipe(Settings):
    """One training run. Every key has a default; `docs/recipes.md` explains each."""

    version: int = RECIPE_VERSION
    name: str = "custom"
    description: str = ""

    # the data
    image_pattern: str | None = None
    mask_pattern: str | None = None
    group_pattern: str | None = None
    split_ratios: tuple[float, float, float] = (0.7, 0.15, 0.15)
    split_seed: int = 0
    classes: list[dict[str, Any]] | None = None
    mask_values: dict[int | str, int] | None = None
    mask_threshold: int | None = None
    ignore_index: Annotated[int, Field(ge=0, le=255)] | None = None

    preprocessing: PreprocessingSettings = PreprocessingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    prediction: PredictionSettings = PredictionSettings()
    measures: list[Literal["vessels"]] = Field(default_factory=list)
    network: dict[str, Any] = Field(default_factory=lambda: {"name": "unet-small"})

    # the objective
    loss: str | dict[str, float] = "auto"
    auxiliary_weights: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = None
    class_weights: Literal["none", "inverse", "median_frequency"] = "none"
    positive_weight: Annotated[float, Field(gt=0)] | Literal["measured"] | None = None
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    tversky_alpha: Annotated[float, Field(ge=0)] = 0.3
    tversky_beta: Annotated[float, Field(ge=0)] = 0.7
    sampler: Literal["uniform", "balanced", "repeat_factor"] = "uniform"
    repeat_threshold: Annotated[float, Field(gt=0, le=1)] = 0.15

    # the optimisation
    epochs: Positive = 50
    steps_per_epoch: Positive | None = None
    batch_size: Positive = 8
    crop_px: Annotated[int, Field(ge=16)] | None = None
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    start_from: Annotated[str, Field(min_length=1)] | None = None
    encoder_weights: Annotated[str, Field(min_length=1)] | None = None
    encoder_learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedule: Literal["one_cycle", "cosine", "poly", "plateau", "constant"] = "one_cycle"
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    poly_power: Annotated[float, Field(gt=0)] = 0.9
    plateau_patience: Positive = 5
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.3
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    accumulate: Positive = 1
    weight_averaging: Annotated[float, Field(ge=0, lt=1)] = 0.99
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    monitor: Literal["val_dice", "val_iou", "val_loss"] = "val_dice"
    early_stopping: Positive | None = None
    keep_every: Positive | None = None
    sample_pictures: Annotated[int, Field(ge=0)] = 0
    tensorboard: bool = True
    calibrate: bool = False
    logit_adjustment: dict[str | int, Annotated[float, Field(ge=-20, le=20)]] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0

    @model_validator(mode="before")
    @classmethod
    def _same_version(cls, content: Any) -> Any:
        version = content.get("version", RECIPE_VERSION) if isinstance(content, Mapping) else RECIPE_VERSION
        if version != RECIPE_VERSION:
            raise ValueError(
                f"the recipe has version {version!r}, this program reads version {RECIPE_VERSION}; "
                "start again from a recipe that 'ocuseg recipes' lists"
            )
        return content

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        low, high = self.augmentation.scale
        if not 0 < low <= high:
            raise ValueError("'augmentation.scale' is a range of factors such as [0.8, 1.25]")
        low, high = self.augmentation.blur_px
        if not 0 < low <= high <= 10:
            raise ValueError("'augmentation.blur_px' is a range above 0 and up to 10, such as [0.5, 1.5]")
        if min(self.split_ratios) < 0 or abs(sum(self.split_ratios) - 1) > 1e-6:
            raise ValueError("'split_ratios' are three shares (train, val, test) that add up to 1")
        if self.prediction.smallest_piece_px is not None and not self.preprocessing.scales:
            raise ValueError("'prediction.smallest_piece_px' counts pixels of a scale: give one in 'preprocessing'")
        if self.prediction.overlap_px * 2 > self.prediction.tile_px:
            raise ValueError("'prediction.overlap_px' is at most half of 'prediction.tile_px'")
        return self

    def data_settings(self) -> dict[str, Any]:
        """Return the data keys that are not at their defaults, by which the same data are read again."""
        return self.model_dump(mode="json", include=set(_DATA_KEYS), exclude_defaults=True)

    def to_plain(self) -> dict[str, Any]:
        """Return the resolved recipe as plain types, as written into runs and bundles."""
        return self.model_dump(mode="json")


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that ship with the package."""
    folder = resources.files("ocuseg") / "recipes"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def recipe_descriptions() -> dict[str, str]:
    """Return name and first line of the description of each shipped recipe."""
    return {name: load_recipe(name).description.strip().split("\n")[0] for name in recipe_names()}


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Return a checked recipe from the name of a shipped one, a YAML file or a mapping.

    `overrides` are `key=value` with dots for inner keys (`network.width=32`), the value read as YAML.
    Raises RecipeError naming the key, what is accepted and what was probably meant.
    """
    if isinstance(recipe, Recipe):
        where, content = recipe.name, recipe.to_plain()
    elif isinstance(recipe, Mapping):
        where, content = "recipe", dict(recipe)
    else:
        where, content = _read(recipe)
    for override in overrides:
        _apply(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, Recipe)}") from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe as YAML."""
    write_text(path, yaml.safe_dump(recipe.to_plain(), sort_keys=False, allow_unicode=True))


def _read(recipe: str | Path) -> tuple[str, dict[str, Any]]:
    names = recipe_names()
    path = Path(recipe)
    if str(recipe) in names:
        text = (resources.files("ocuseg") / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: cannot be read as text; give a YAML file") from error
    else:
        raise RecipeError(
            f"{recipe}: is neither a shipped recipe nor a file; {meant(str(recipe), names)}"
            f"shipped recipes are {', '.join(names)}"
        )
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{recipe}: is not valid YAML ({' '.join(str(error).split())}); mend the line") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise RecipeError(f"{recipe}: holds no 'key: value' lines; see a shipped recipe for the form")
    return str(recipe), content


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override}: has no '='; write key=value, for example epochs=20")
    value = _value(key, text)
    place = content
    *outer, last = key.split(".")
    for part in outer:
        inner = place.get(part)
        inner = dict(inner) if isinstance(inner, Mapping) else {}
        place[part] = inner
        place = inner
    place[last] = value


def _value(key: str, text: str) -> Any:
    """Return `text` as YAML; as it stands where it is none, as `{id}.png`, or where the key takes words alone."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if key in _WORDS:
        return value if value is None or isinstance(value, str) else text
    return _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as text; a user means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
