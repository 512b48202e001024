from __future__ import annotations

import json

import numpy as np
import pytest

from ocuseg.classes import Classes, parse_classes
from ocuseg.encoding import MaskEncoding, RawMask, count_values, infer_encoding
from ocuseg.errors import DataError, ImageError, OcusegError, UsageError

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)


def classes_of(*names: str, colours: tuple[str, ...] = (), ignore: int | None = None) -> Classes:
    rows = [{"id": i, "name": name} for i, name in enumerate(names)]
    for row, colour in zip(rows, colours, strict=False):
        row["colour"] = colour
    if ignore is not None:
        rows.append({"id": ignore, "name": "ignore", "ignore": True})
    return parse_classes(rows)


THREE = classes_of("background", "iris", "pupil", colours=("#000000", "#ff0000", "#00ff00"))
VESSEL = classes_of("background", "vessel")


def grey(*rows: list[int], dtype: type = np.uint8) -> RawMask:
    return RawMask(np.array(rows, dtype=dtype), "grey")


def colour(*rows: list[tuple[int, int, int]]) -> RawMask:
    return RawMask(np.array(rows, dtype=np.uint8), "colour")


class TestCounting:
    def test_grey_levels(self):
        assert count_values(grey([0, 0, 7], [7, 0, 255])) == {0: 3, 7: 2, 255: 1}

    def test_negative_and_large_values(self):
        assert count_values(grey([-1, 70000, -1], dtype=np.int32)) == {-1: 2, 70000: 1}

    def test_colours(self):
        assert count_values(colour([BLACK, RED], [RED, RED])) == {BLACK: 1, RED: 3}

    def test_grey_as_colours(self):
        assert count_values(grey([0, 255]), as_colours=True) == {BLACK: 1, WHITE: 1}

    def test_palette_as_colours_joins_entries_of_one_colour(self):
        palette = np.array([BLACK, RED, RED], dtype=np.uint8)
        raw = RawMask(np.array([[0, 1, 2]], dtype=np.uint8), "palette", palette)
        assert count_values(raw) == {0: 1, 1: 1, 2: 1}
        assert count_values(raw, as_colours=True) == {BLACK: 1, RED: 2}


class TestIds:
    def test_consecutive_ids_become_the_classes(self):
        encoding, classes = infer_encoding({0: 900, 1: 50, 2: 49, 3: 1})
        assert encoding.kind == "ids"
        assert classes.names == ("background", "class_1", "class_2", "class_3")
        assert encoding.decode(grey([0, 3], [2, 1]), "m.png").tolist() == [[0, 3], [2, 1]]

    def test_zero_and_one_are_two_classes(self):
        encoding, classes = infer_encoding({0: 9, 1: 1})
        assert (encoding.kind, classes.names) == ("ids", ("background", "foreground"))

    def test_a_gap_is_an_absent_class_when_classes_are_declared(self):
        encoding, classes = infer_encoding({0: 9, 2: 1}, classes=THREE)
        assert (encoding.kind, classes) == ("ids", THREE)

    def test_an_id_beyond_the_classes_is_named_with_its_share(self):
        encoding, _ = infer_encoding({0: 90, 1: 5, 2: 5, 7: 1}, classes=THREE)
        with pytest.raises(ImageError, match=r"^a/m\.png: holds the value 7 in 25\.00% .*0, 1 and 2.*7: ID") as caught:
            encoding.decode(grey([0, 7], [1, 2]), "a/m.png")
        assert "\n" not in str(caught.value)

    def test_a_rare_id_after_a_gap_is_the_fault_of_its_file(self):
        encoding, classes = infer_encoding({0: 90_000, 1: 9_000, 2: 1_000, 7: 3})
        assert len(classes) == 3
        with pytest.raises(ImageError, match="the value 7"):
            encoding.decode(grey([0, 7]), "m.png")

    def test_a_common_id_after_a_gap_needs_a_class_table(self):
        with pytest.raises(DataError, match=r"0, 1, 2 and 7.*mask_values: \{0: 0, 1: 1, 2: 2, 7: 3\}"):
            infer_encoding({0: 90, 1: 5, 2: 3, 7: 2})

    def test_ids_that_start_at_one_need_a_word(self):
        with pytest.raises(DataError, match=r"1, 2 and 3.*mask_values: \{1: 0, 2: 1, 3: 2\}"):
            infer_encoding({1: 5, 2: 5, 3: 5})

    def test_empty_masks_alone_are_background(self):
        encoding, classes = infer_encoding({0: 100})
        assert (encoding.kind, len(classes)) == ("ids", 2)

    def test_no_pixels(self):
        with pytest.raises(DataError, match="no pixels"):
            infer_encoding({})

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
    def test_every_type_of_raw_value_decodes(self, dtype):
        encoding, _ = infer_encoding({0: 1, 1: 1, 2: 1})
        mask = encoding.decode(grey([0, 1, 2], dtype=dtype), "m.png")
        assert mask.dtype == np.uint8
        assert mask.tolist() == [[0, 1, 2]]

    def test_a_value_that_would_wrap_round_in_uint8_is_unknown(self):
        encoding, _ = infer_encoding({0: 1, 1: 1})
        for dtype in (np.uint16, np.int32):
            with pytest.raises(ImageError, match="the value 256"):
                encoding.decode(grey([0, 256], dtype=dtype), "m.png")


class TestTwoValues:
    @pytest.mark.parametrize("pair", [(0, 255), (0, 2), (1, 2), (10, 200), (0, 65535), (-1, 1)])
    def test_the_lower_is_background(self, pair):
        low, high = pair
        encoding, classes = infer_encoding({high: 2, low: 98})
        assert (encoding.kind, len(classes)) == ("values", 2)
        assert encoding.decode(grey([low, high], dtype=np.int32), "m.png").tolist() == [[0, 1]]
        assert encoding.summary == f"{low} is class 0, {high} is class 1"

    def test_255_is_a_class_and_not_ignored(self):
        encoding, classes = infer_encoding({0: 9, 255: 1}, classes=VESSEL)
        assert classes.ignore_index is None
        assert encoding.decode(grey([0, 255]), "m.png").tolist() == [[0, 1]]

    def test_a_mask_of_foreground_alone(self):
        encoding, _ = infer_encoding({255: 10})
        assert encoding.decode(grey([255, 255]), "m.png").tolist() == [[1, 1]]

    def test_255_is_ignored_when_told_so(self):
        encoding, classes = infer_encoding({0: 9, 1: 1, 255: 1}, ignore_index=255)
        assert classes.ignore_index == 255
        assert len(classes) == 2
        assert encoding.decode(grey([0, 1, 255]), "m.png").tolist() == [[0, 1, 255]]

    def test_the_ignored_id_of_the_class_table_holds(self):
        classes = classes_of("background", "vessel", ignore=9)
        encoding, same = infer_encoding({0: 9, 1: 1, 9: 1}, classes=classes)
        assert same.ignore_index == 9
        assert encoding.decode(grey([9, 1]), "m.png").tolist() == [[9, 1]]

    def test_255_beside_ids_is_neither_guessed_as_ignored_nor_as_a_class(self):
        with pytest.raises(DataError, match=r"255 in 9\.09%.*ignore_index: 255.*mask_values: \{0: 0, 1: 1, 255: ID\}"):
            infer_encoding({0: 9, 1: 1, 255: 1})

    def test_255_in_one_file_among_ids_says_both_ways_out(self):
        encoding, _ = infer_encoding({0: 90, 1: 5, 2: 5}, classes=THREE)
        with pytest.raises(ImageError, match=r"ignore_index: 255.*mask_values: \{0: 0, 1: 1, 2: 2, 255: ID\}"):
            encoding.decode(grey([0, 255]), "m.png")

    def test_one_file_of_0_and_255_among_files_of_ids(self):
        encoding, _ = infer_encoding({0: 9_000_000, 1: 1_000_000, 255: 100})
        with pytest.raises(ImageError, match="255"):
            encoding.decode(grey([0, 255]), "m.png")


RINGING = {0: 500, 1: 60, 2: 30, 3: 10, 4: 5, 250: 5, 251: 8, 252: 20, 253: 40, 254: 60, 255: 200}


class TestSoftGreys:
    def test_jpeg_ringing_names_the_remedy(self):
        with pytest.raises(DataError, match=r"^masks: hold 11 different values from 0 to 255.*mask_threshold: 128"):
            infer_encoding(RINGING)

    def test_jpeg_ringing_for_declared_two_classes(self):
        with pytest.raises(DataError, match="mask_threshold: 128"):
            infer_encoding(RINGING, classes=VESSEL)

    def test_a_threshold_cannot_help_three_classes(self):
        with pytest.raises(DataError, match="PNG") as caught:
            infer_encoding(RINGING, classes=THREE)
        assert "mask_threshold" not in str(caught.value)

    def test_all_levels_are_no_256_classes(self):
        with pytest.raises(DataError, match="256 different values"):
            infer_encoding(dict.fromkeys(range(256), 10))

    def test_few_grey_levels_offer_both_ways_out(self):
        with pytest.raises(DataError, match=r"mask_values: \{0: 0, 127: 1, 255: 2\}.*mask_threshold: 128"):
            infer_encoding({0: 90, 127: 5, 255: 5})

    def test_stray_greys_in_one_file_are_named_there(self):
        encoding, _ = infer_encoding({0: 900_000, 255: 100_000, 254: 3, 128: 2})
        assert encoding.kind == "values"
        with pytest.raises(ImageError, match=r"^m\.png: holds the values 128 and 254 in 50\.00%.*mask_threshold: 128"):
            encoding.decode(grey([0, 255], [128, 254]), "m.png")

    def test_the_threshold_belongs_to_the_foreground(self):
        encoding, classes = infer_encoding(RINGING, mask_threshold=128)
        assert len(classes) == 2
        assert encoding.decode(grey([0, 127, 128, 255]), "m.png").tolist() == [[0, 0, 1, 1]]

    def test_the_threshold_looks_at_the_brightest_channel_and_at_palette_colours(self):
        encoding, _ = infer_encoding({BLACK: 1, RED: 1}, mask_threshold=128)
        assert encoding.decode(colour([(3, 0, 0), (250, 4, 0)]), "m.png").tolist() == [[0, 1]]
        raw = RawMask(np.array([[0, 1]], dtype=np.uint8), "palette", np.array([WHITE, BLACK], dtype=np.uint8))
        assert encoding.decode(raw, "m.png").tolist() == [[1, 0]]

    @pytest.mark.parametrize(
        "settings",
        [
            {"mask_threshold": 0},
            {"mask_threshold": 70000},
            {"mask_threshold": 128, "mask_values": {255: 1}},
            {"mask_threshold": 128, "ignore_index": 255},
            {"mask_threshold": 128, "classes": THREE},
        ],
    )
    def test_settings_that_contradict_each_other(self, settings):
        with pytest.raises(UsageError, match="mask_threshold"):
            infer_encoding({0: 1, 255: 1}, **settings)


class TestMaskValues:
    def test_zero_stays_zero_unless_told_otherwise(self):
        encoding, classes = infer_encoding({0: 1, 255: 1}, mask_values={255: 1})
        assert len(classes) == 2
        assert encoding.decode(grey([0, 255]), "m.png").tolist() == [[0, 1]]
        inverted, _ = infer_encoding({0: 1, 255: 1}, mask_values={0: 1, 255: 0})
        assert inverted.decode(grey([0, 255]), "m.png").tolist() == [[1, 0]]

    def test_an_unlisted_id_is_not_taken_for_granted(self):
        encoding, _ = infer_encoding({}, mask_values={0: 0, 128: 1, 255: 2})
        with pytest.raises(ImageError, match="the value 1 in"):
            encoding.decode(grey([0, 1]), "m.png")

    def test_names_texts_and_colours(self):
        encoding, _ = infer_encoding({}, classes=THREE, mask_values={"127": "iris", 255: "pupil"})
        assert encoding.decode(grey([0, 127, 255]), "m.png").tolist() == [[0, 1, 2]]
        encoding, _ = infer_encoding({}, mask_values={"#FF0000": 1, (0, 255, 0): 1})
        assert encoding.decode(colour([BLACK, RED, GREEN]), "m.png").tolist() == [[0, 1, 1]]

    def test_an_extra_colour_joins_those_of_the_class_table(self):
        encoding, _ = infer_encoding({}, classes=THREE, mask_values={"#0000ff": 2})
        assert encoding.decode(colour([BLACK, RED, GREEN, (0, 0, 255)]), "m.png").tolist() == [[0, 1, 2, 2]]

    def test_an_ignored_value(self):
        encoding, classes = infer_encoding({}, mask_values={128: 255, 255: 1}, ignore_index=255)
        assert len(classes) == 2
        assert encoding.decode(grey([0, 128, 255]), "m.png").tolist() == [[0, 255, 1]]

    @pytest.mark.parametrize(
        "bad", [{255: 3}, {255: -1}, {255: "lens"}, {"red": 1}, {(1, 2): 1}, {True: 1}, {255: 1.0}]
    )
    def test_what_is_not_a_value_or_class(self, bad):
        with pytest.raises(UsageError, match="mask_values"):
            infer_encoding({0: 1}, classes=THREE, mask_values=bad)

    def test_an_ignored_id_that_is_a_class(self):
        with pytest.raises(UsageError, match="ignore_index"):
            infer_encoding({0: 1}, classes=THREE, ignore_index=2)

    def test_two_ignored_ids(self):
        with pytest.raises(UsageError, match="ignore_index"):
            infer_encoding({0: 1}, classes=classes_of("a", "b", ignore=9), ignore_index=255)


class TestColours:
    def test_the_class_table_gives_the_ids(self):
        encoding, _ = infer_encoding({BLACK: 5, RED: 1}, kind="colour", classes=THREE)
        assert encoding.kind == "colours"
        assert encoding.decode(colour([BLACK, GREEN, RED]), "m.png").tolist() == [[0, 2, 1]]

    def test_an_all_black_mask_that_was_read_as_grey(self):
        encoding, _ = infer_encoding({0: 5, RED: 1, BLACK: 7}, classes=THREE)
        assert encoding.decode(grey([0, 0]), "m.png").tolist() == [[0, 0]]

    def test_a_palette_file_among_colour_files_is_read_by_its_colours(self):
        encoding, _ = infer_encoding({BLACK: 5, RED: 1}, classes=THREE)
        raw = RawMask(np.array([[0, 1]], dtype=np.uint8), "palette", np.array([GREEN, BLACK], dtype=np.uint8))
        assert encoding.decode(raw, "m.png").tolist() == [[2, 0]]

    def test_an_unknown_colour_says_value_share_nearest_class_and_remedy(self):
        encoding, _ = infer_encoding({BLACK: 90, RED: 10}, classes=THREE)
        with pytest.raises(ImageError) as caught:
            encoding.decode(colour([BLACK, BLACK, RED, (250, 5, 5)]), "masks/1.png")
        assert str(caught.value) == (
            "masks/1.png: holds the value #fa0505 in 25.00% of the pixels, the colour of no class (nearest to #fa0505 "
            "is #ff0000, class 1); correct the mask or give 'mask_values: {\"#fa0505\": 1}'"
        )

    def test_colours_that_mostly_belong_to_no_class_stop_the_set(self):
        with pytest.raises(DataError, match=r"#0000ff in 90\.00%"):
            infer_encoding({(0, 0, 255): 90, RED: 10}, classes=THREE)

    def test_two_colours_without_a_table(self):
        encoding, classes = infer_encoding({RED: 10, BLACK: 90})
        assert len(classes) == 2
        assert encoding.decode(colour([BLACK, RED]), "m.png").tolist() == [[0, 1]]

    def test_the_classes_of_two_colours_read_the_same_masks_again(self):
        counts = {RED: 10, WHITE: 90}
        encoding, classes = infer_encoding(counts, ignore_index=9)
        again, kept = infer_encoding(counts, classes=parse_classes(classes.to_list()))
        assert (again, kept) == (encoding, classes)
        assert again.decode(colour([RED, WHITE]), "m.png").tolist() == [[0, 1]]

    def test_more_colours_without_a_table(self):
        with pytest.raises(DataError, match=r"#000000, #00ff00 and #ff0000.*classes\.yaml"):
            infer_encoding({BLACK: 90, GREEN: 6, RED: 4})

    def test_two_classes_of_one_colour(self):
        twins = classes_of("a", "b", "c", colours=("#000000", "#ff0000", "#ff0000"))
        with pytest.raises(DataError, match="#ff0000"):
            infer_encoding({BLACK: 9, RED: 1}, classes=twins)

    def test_a_colour_file_among_grey_files(self):
        encoding, _ = infer_encoding({0: 9, 1: 1})
        with pytest.raises(ImageError, match=r"m\.png: is a colour image \(#000000 and #ff0000\)"):
            encoding.decode(colour([BLACK, RED]), "m.png")


@pytest.mark.parametrize(
    "encoding",
    [
        infer_encoding({0: 9, 1: 1})[0],
        infer_encoding({0: 9, 255: 1})[0],
        infer_encoding({BLACK: 9, RED: 1}, classes=THREE)[0],
        infer_encoding({0: 1}, mask_threshold=128)[0],
    ],
)
def test_json_round_trip(encoding):
    assert MaskEncoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {0: 9, 1: 1, 255: 1},
        {1: 5, 2: 5, 3: 5},
        {0: 1, 100: 1, 200: 1},
        dict.fromkeys(range(256), 1),
        {RED: 1},
        {RED: 3, GREEN: 3, BLACK: 1},
        {0: 5, -7: 5, 70000: 5},
    ],
)
def test_every_message_is_one_line_that_says_where_and_the_remedy(counts):
    with pytest.raises(OcusegError) as caught:
        infer_encoding(counts, where="training masks")
    text = str(caught.value)
    assert text.startswith("training masks: ")
    assert ";" in text
    assert "\n" not in text
