from __future__ import annotations

from ocuseg.card import model_card


def test_the_card_says_what_the_model_is_and_what_it_is_not(bright_red_parts):
    card = model_card(bright_red_parts()[0].to_json())
    assert card.startswith("# bright-red\n")
    for phrase in (
        "background and foreground",
        "not a medical device",
        "| 1 | foreground |",
        f"- data hash: {'ab' * 32}",
        "- images, train: 3",
        "| foreground dice | 0.8312 | 0.82 | 0.8 to 0.84 | – |",
        "- split: test",
        "from a probability of 0.5 on, chosen on val",
        "Apache-2.0",
        'ocuseg.load("BUNDLE")',
    ):
        assert phrase in card, phrase


def test_what_is_not_known_is_said(bright_red_parts):
    info = bright_red_parts(3, scores={}, trained_on={}, licence="")[0]
    card = model_card(info.to_json())
    for phrase in ("None were measured.", "Not recorded.", "most probable class", "ask whoever made this model"):
        assert phrase in card, phrase


def test_the_rule_that_flags_is_told_where_there_is_one(bright_red_parts):
    assert "flagged" not in model_card(bright_red_parts()[0].to_json())
    card = model_card(bright_red_parts(made_for=[{"red": 0.1}, {"red": 0.2, "centre": -1.0}])[0].to_json())
    assert "\n- An image is flagged as not what the model was made for where" in card
    assert "like none of 2 images that it was trained and chosen on, within a margin for other cameras" in card
    assert "in all of: red, centre (`made_for` in `bundle.json`)" in card


def test_a_name_cannot_break_the_tables(bright_red_parts):
    classes = [{"id": 0, "name": "back|ground"}, {"id": 1, "name": "two\nlines"}]
    card = model_card(bright_red_parts(classes=classes)[0].to_json())
    assert "| 0 | back\\|ground |" in card
    assert "| 1 | two lines |" in card


def test_long_parts_are_named_and_not_spelt_out(bright_red_parts):
    recipe = {"name": "vessels", **{f"key_{index}": index for index in range(20)}}
    trained_on = {"recipe": recipe, "image_hashes": [f"{index:012x}" for index in range(300)]}
    card = model_card(bright_red_parts(trained_on=trained_on)[0].to_json())
    assert "- recipe: vessels, in full in `bundle.json`" in card
    assert "- image hashes: 300 entries, in full in `bundle.json`" in card
    assert len(card) < 4000


def test_groups_that_are_not_known_are_not_counted(bright_red_parts):
    def card(groups):
        return model_card(bright_red_parts(trained_on={"groups": groups})[0].to_json())

    assert "- groups: not known\n" in card({"train": 0, "val": 0})
    assert "- groups: not known\n" in card(0)
    some = card({"train": 4, "val": 1, "test": 0})
    assert "- groups, train: 4\n- groups, val: 1\n" in some
    assert "groups, test" not in some


def test_means_over_several_classes_are_named(bright_red_parts):
    mean = {"dice": {"pooled": 0.5, "per_image": 0.4, "ci95": None, "images": 2}}
    card = model_card(bright_red_parts(3, scores={"val": {"mean_foreground": mean}})[0].to_json())
    assert "| val mean foreground dice | 0.5 | 0.4 | – | 2 |" in card
