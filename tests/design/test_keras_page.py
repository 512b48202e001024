"""What `docs/keras.md` says of recipes and of the converter; `tests/optional/test_keras.py` runs the page itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ocuseg.errors import RecipeError
from ocuseg.training.losses import LOSSES, TERMS
from ocuseg.training.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
WORDS = PAGE[PAGE.index("## The words") : PAGE.index("## A bundle under")]
RIGHT = [row.rpartition(" | ")[2] for row in WORDS.splitlines() if row.startswith("|")]
LINES = re.findall(r"`([a-z_]+: [^`]+)`", "\n".join(RIGHT))


def test_there_are_words_to_look_at() -> None:
    assert len(LINES) > 25


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_recipe_is_one(line: str) -> None:
    content = yaml.safe_load(line)
    recipe = load_recipe(content)
    if "loss" in content:
        assert recipe.loss in LOSSES if isinstance(recipe.loss, str) else set(recipe.loss) <= set(TERMS)


def test_a_key_that_is_no_longer_one_would_be_seen() -> None:
    assert "early_stoping" not in Recipe.model_fields
    with pytest.raises(RecipeError):
        load_recipe(yaml.safe_load("early_stoping: 10"))


def test_the_page_and_the_makefile_install_the_same_converter() -> None:
    pins = [
        re.findall(r"onnx2tf\[tensorflow\]==([\d.]+)", text)
        for text in (PAGE, (ROOT / "Makefile").read_text(encoding="utf-8"))
    ]
    assert pins[0] == pins[1]
    assert len(pins[0]) == 1
    assert f"onnx2tf {pins[0][0]}" in PAGE
