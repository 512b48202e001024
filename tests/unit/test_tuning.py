from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocuseg.errors import RecipeError
from ocuseg.geometry import Preprocessing
from ocuseg.training.recipe import load_recipe
from ocuseg.training.tuning import tuning_recipe


def bundle(trained_on: dict, **network) -> SimpleNamespace:
    info = SimpleNamespace(trained_on=trained_on, network={"name": "unet-small", "width": 4} | network)
    preprocessing = replace(Preprocessing(), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    return SimpleNamespace(folder=Path("model"), info=info, preprocessing=preprocessing)


def test_its_own_recipe_without_its_data() -> None:
    own = load_recipe("vessels", ["mask_threshold=7", "split_seed=3", "epochs=30", "learning_rate=0.004"])
    found = load_recipe(tuning_recipe(bundle({"recipe": own.to_plain()})))
    assert (found.epochs, found.learning_rate) == (6, 0.001)
    assert (found.mask_threshold, found.split_seed) == (None, 0)
    assert found.network == {"name": "unet-small", "width": 4}
    assert (found.preprocessing.mean, found.preprocessing.even_light) == ((0.1, 0.2, 0.3), 0.03)
    assert found.augmentation == own.augmentation


@pytest.mark.parametrize(
    ("epochs", "steps", "found"), [(10, 20, 10), (30, 70, 6), (4, 500, 1), (10, None, 2), (1, None, 1)]
)
def test_a_short_recipe_is_not_cut_below_200_steps(epochs: int, steps: int | None, found: int) -> None:
    own = load_recipe("vessels", []).to_plain() | {"epochs": epochs, "steps_per_epoch": steps}
    assert tuning_recipe(bundle({"recipe": own}))["epochs"] == found


OWN = load_recipe("vessels", []).to_plain()


@pytest.mark.parametrize(
    "model",
    [
        bundle({}),
        bundle({"recipe": OWN}, name="ensemble"),
        bundle({"recipe": {}}),
        bundle({"recipe": OWN | {"epochs": "many"}}),
        bundle({"recipe": OWN | {"steps_per_epoch": "many"}}),
        bundle({"recipe": OWN | {"epochs": float("inf")}}),
        bundle({"recipe": OWN | {"preprocessing": None}}),
    ],
)
def test_without_a_recipe_one_has_to_be_given(model: SimpleNamespace) -> None:
    with pytest.raises(RecipeError, match="give --recipe"):
        tuning_recipe(model)
