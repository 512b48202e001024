from __future__ import annotations

from typing import Any

import pytest

from ocuseg.errors import RecipeError
from ocuseg.training.recipe import Recipe, load_recipe


@pytest.mark.parametrize(
    "override",
    [
        "seed=true", "epochs=false", "keep_every=yes", "learning_rate=true", "mask_values={255: true}",
        "split_ratios=[true, 0, 0]", "loss={bce: true}", "prediction.tile_px=on", "preprocessing.size=[true, 64]",
        "positive_weight=true", "auxiliary_weights=[true]",
    ],
)  # fmt: skip
def test_a_truth_is_no_number(override: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe({}, [override])
    assert override.partition("=")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_truths_stay_where_they_belong() -> None:
    recipe = load_recipe({}, ["prediction.flips=true", "network={name: unet, deep_supervision: true}"])
    assert recipe.prediction.flips
    assert recipe.network["deep_supervision"] is True
    assert load_recipe({"classes": [{"id": 255, "name": "x", "ignore": True}]}).classes


def test_a_truth_for_a_word_says_the_words() -> None:
    with pytest.raises(RecipeError, match="'adamw', 'adam' or 'sgd'"):
        load_recipe({}, ["optimizer=no"])


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("image_pattern={id}.png", "image_pattern", "{id}.png"),
        ("mask_pattern={id}_mask.png", "mask_pattern", "{id}_mask.png"),
        ("mask_pattern={id}", "mask_pattern", "{id}"),  # a mapping for YAML
        ('image_pattern="{id}.png"', "image_pattern", "{id}.png"),
        ("group_pattern=[a-z]+_", "group_pattern", "[a-z]+_"),
        ("group_pattern=[0-9]", "group_pattern", "[0-9]"),
        ("image_pattern=null", "image_pattern", None),
        ("name=12", "name", "12"),
        ("learning_rate=1e-3", "learning_rate", 0.001),
    ],
)
def test_what_is_no_yaml_is_taken_as_it_stands(override: str, key: str, value: Any) -> None:
    assert getattr(load_recipe({}, [override]), key) == value


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("network={name: unet", "'network' is '{name: unet'"),
        ("auxiliary_weights=[]", "'auxiliary_weights' is []"),
        ("auxiliary_weights=[-1]", "greater than or equal to 0"),
        ("auxiliary_weights=0.4", "'auxiliary_weights' is 0.4"),
        ("repeat_threshold=0", "greater than 0"),
        ("repeat_threshold=1.1", "less than or equal to 1"),
        ("encoder_learning_rate_factor=0", "greater than 0"),
        ("encoder_learning_rate_factor=2", "less than or equal to 1"),
        ("poly_power=0", "greater than 0"),
        ("sample_pictures=-1", "greater than or equal to 0"),
        ("sampler=repeat", "'repeat_factor'"),
        ("schedule=polly", "'poly'"),
        ("tensorboard=perhaps", "'tensorboard' is 'perhaps'"),
        ("repeat_treshold=0.1", "did you mean 'repeat_threshold'?"),
    ],
)
def test_a_wrong_value_says_what_is_accepted(override: str, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe({}, [override])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_resolved_recipe_gives_itself() -> None:
    recipe = load_recipe({"auxiliary_weights": [0.4], "encoder_weights": "hrnet.pth", "loss": {"ce": 1, "lovasz": 0.5}})
    assert Recipe.model_validate(recipe.to_plain()) == recipe
