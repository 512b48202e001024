"""How wide vessels are, and the scale at which an image is seen because of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocuseg.classes import default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, UsageError
from ocuseg.field_of_view import FieldOfView
from ocuseg.geometry import Placement, Preprocessing
from ocuseg.images import write_image
from ocuseg.index import Record
from ocuseg.metrics import mean_width
from ocuseg.prediction import Predictor
from ocuseg.prediction.adapting import Seen, doubt, doubts, look_around, mean_of_scales
from ocuseg.training.samples import load_samples
from ocuseg.training.widths import at_width, typical_diameter

IDS = MaskEncoding("values", ((0, 0), (255, 1)))


def _rays(width: float, side: int = 400) -> np.ndarray:
    """Lines of one width in all directions, which meet nowhere."""
    picture = Image.new("L", (side * 4, side * 4))
    for number in range(24):
        angle = 2 * np.pi * number / 24
        way = np.array([np.cos(angle), np.sin(angle)]) * side * 4
        ends = [side * 2 + way * share for share in (0.25, 0.45)]
        ImageDraw.Draw(picture).line([tuple(end) for end in ends], fill=255, width=round(width * 4))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX)) > 127


@pytest.mark.parametrize("width", [3, 5, 8])
def test_lines_of_all_directions_are_as_wide_as_they_were_drawn(width: int) -> None:
    found = mean_width(_rays(width))
    assert found is not None
    assert found == pytest.approx(width, rel=0.12)  # their ends are border too


def test_what_is_not_there_has_no_width() -> None:
    assert mean_width(np.zeros((50, 50), np.bool_)) is None
    assert mean_width(np.ones((50, 50), np.bool_)) is None  # no border
    few = np.zeros((50, 50), np.bool_)
    few[20, :49] = True
    assert mean_width(few) is None
    few[20] = True
    assert mean_width(few) is not None


HERE = Placement((400, 400), (0, 0, 400, 400), (200, 200))


def _look(doubts: Callable[[float], float], drawn_px: int = 1000) -> Callable[[Placement], np.ndarray]:
    """A network that draws as much at any scale, with so many unsure pixels for each at a scale of HERE's times."""

    def look(placement: Placement) -> np.ndarray:
        seen.append(placement.working_size[0])
        found = np.zeros(placement.working_size, np.float32)
        found.reshape(-1)[:drawn_px] = 0.9
        unsure = round(doubts(placement.working_size[0] / 200) * drawn_px)
        found.reshape(-1)[drawn_px : drawn_px + unsure] = 0.4
        return found[None]

    seen: list[int] = []
    look.seen = seen  # type: ignore[attr-defined]
    return look


@pytest.mark.parametrize(
    ("surest", "side", "looks"),
    [(1, 200, 3), (1.1, 200, 3), (2, 400, 5), (1.5, 283, 4), (0.5, 100, 5), (0.7, 141, 4), (9, 566, 5), (0.1, 71, 5)],
)
def test_the_surest_scale_is_taken(surest: float, side: int, looks: int) -> None:
    look = _look(lambda factor: 1 + abs(np.log2(factor / surest)))
    (placement, found, least), *others = look_around(HERE, look)
    assert placement.working_size == (side, side)
    assert found.shape == (1, side, side)
    assert all(least <= one.doubt / 0.93 for one in others)
    assert len({one.placement.working_size for one in others}) == looks - 1
    assert (placement.box, placement.original_size) == (HERE.box, HERE.original_size)
    assert len(look.seen) == looks  # type: ignore[attr-defined]


@pytest.mark.parametrize(("reduced", "side"), [((1.6, 1.0, 0.8), 71), ((1.8, 1.6, 1.4), 400)])
def test_of_two_ways_that_both_get_surer_the_better_end_is_taken(reduced: tuple[float, ...], side: int) -> None:
    by_step = dict(enumerate((*reduced[::-1], 2.0, 1.5, 1.2, 1.4), start=-3))
    placement, found, _ = look_around(HERE, _look(lambda factor: by_step[round(2 * np.log2(factor))]))[0]
    assert (placement.working_size, found.shape) == ((side, side), (1, side, side))


def test_a_little_surer_is_not_enough_to_leave_the_known_scale() -> None:
    assert look_around(HERE, _look(lambda factor: 1 - 0.06 * (factor > 1)))[0].placement == HERE
    assert look_around(HERE, _look(lambda factor: 1 - 0.08 * (factor > 1)))[0].placement.working_size == (283, 283)
    slower = _look(lambda factor: 1 - 0.1 * (factor > 1) - 0.02 * (factor > 1.5))
    assert look_around(HERE, slower)[0].placement.working_size == (283, 283)


def test_a_network_that_is_surer_elsewhere_of_images_of_its_own_scale_keeps_them_there() -> None:
    usual = (0.8, 0.6, 0.9, 1.0, 0.9, 0.5, 1.7)
    own = _look(lambda factor: usual[round(2 * np.log2(factor)) + 3])
    assert look_around(HERE, own)[0].placement.working_size == (400, 400)
    stayed = look_around(HERE, own, usual)
    assert [one.placement.working_size[0] for one in stayed] == [200, 141, 283]
    assert [one.doubt for one in stayed] == pytest.approx([1, 1, 1], abs=0.01)
    foreign = _look(lambda factor: 1 + 3 * abs(np.log2(factor / 0.5)))
    assert look_around(HERE, foreign, usual)[0].placement.working_size == (100, 100)


def test_more_doubt_at_every_scale_makes_none_better() -> None:
    usual = (0.6, 0.5, 0.4, 0.35, 0.36, 0.45, 0.6)
    blurred = _look(lambda factor: usual[round(2 * np.log2(factor)) + 3] + 0.2)
    seen = look_around(HERE, blurred, usual)  # for what is usual, the scales at the ends are in the least doubt
    assert [one.placement.working_size[0] for one in seen] == [200, 141, 283]
    assert [one.doubt for one in seen] == pytest.approx([0.55, 0.6, 0.56], abs=0.01)


def test_the_doubts_are_those_of_all_scales_from_the_smallest() -> None:
    look = _look(lambda factor: factor / 4)
    assert doubts(HERE, look) == pytest.approx([2 ** (step / 2) / 4 for step in range(-3, 4)], abs=0.001)
    assert look.seen == [71, 100, 141, 200, 283, 400, 566]  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [(1.0,) * 6, (1.0,) * 6 + (0.0,), ()])
def test_usual_doubts_are_seven_numbers_above_none(wrong: tuple[float, ...]) -> None:
    place = Preprocessing(field_of_view_diameter_px=64, find_scale=True)
    with pytest.raises(UsageError, match="give 7 numbers above 0"):
        Predictor(lambda images: images[:, :1], classes=default_classes(2), preprocessing=place, usual_doubts=wrong)


def test_where_nothing_is_found_the_scale_stays() -> None:
    look = _look(lambda factor: 1 / factor, drawn_px=49)
    (seen,) = look_around(HERE, look)
    assert seen.placement == HERE
    assert seen.doubt == np.inf
    assert len(look.seen) == 1  # type: ignore[attr-defined]
    assert mean_of_scales([seen]) is seen.probabilities


def _even(side: int, value: float, doubt: float) -> Seen:
    return Seen(replace(HERE, working_size=(side, side)), np.full((2, side, side), value, np.float32), doubt)


def test_scales_of_less_doubt_count_more() -> None:
    first, other, none = _even(200, 0.2, 0.5), _even(283, 0.7, 0.6), _even(141, 0.9, np.inf)
    mean = mean_of_scales([first, other, none])
    assert mean.shape == (2, 200, 200)
    weight = np.exp(-0.2 / 0.15)
    np.testing.assert_allclose(mean, (0.2 + 0.7 * weight) / (1 + weight), rtol=1e-5)
    np.testing.assert_allclose(first.probabilities, 0.2)  # unchanged
    # Of which the least doubt is that of another than the one that is taken.
    np.testing.assert_allclose(mean_of_scales([first, _even(283, 0.7, 0.5)]), 0.45, rtol=1e-5)
    np.testing.assert_allclose(mean_of_scales([other, first])[:, :5, :5], mean[:, :5, :5], rtol=1e-5)


def test_doubt_counts_inside_the_field_of_view() -> None:
    small = np.zeros((100, 100), np.bool_)
    small[:50] = True
    place = replace(HERE, area=FieldOfView((400, 400), small, 4))
    chances = np.zeros((1, 200, 200), np.float32)
    chances[0, 10, :100], chances[0, 20, :30], chances[0, 150] = 0.5, 0.21, 0.3
    chances[0, 30, :30], chances[0, 40, :70] = 0.19, 0.81
    assert doubt(chances, place) == pytest.approx(130 / 170)
    assert doubt(chances, HERE) == pytest.approx(330 / 170)
    assert doubt(np.zeros_like(chances), HERE) == np.inf
    assert doubt((chances == 0.5).astype(np.float32), HERE) == pytest.approx(1 / 100)  # to divide by


def test_of_many_classes_any_but_the_background_counts() -> None:
    chances = np.zeros((3, 200, 200), np.float32)
    chances[0] = 1
    chances[:, 10, :100] = [[0.3], [0.3], [0.4]]
    chances[:, 20, :100] = [[0.1], [0.45], [0.45]]
    assert doubt(chances, HERE) == pytest.approx(100 / 200)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_a_scale_is_found_or_not(value: object) -> None:
    with pytest.raises(UsageError, match=r"find_scale is .*; write true or false"):
        Preprocessing(find_scale=value)  # type: ignore[arg-type]


def test_a_scale_to_find_needs_one_to_start_from() -> None:
    with pytest.raises(UsageError, match="find_scale needs a scale to start from; give field_of_view_diameter_px"):
        Preprocessing(find_scale=True, size=(32, 32))


def _photograph(width: float, side: int = 400) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    lit = np.hypot(y, x) < 0.47 * side
    mask = _rays(width, side)
    image = np.where(lit[..., None], np.where(mask[..., None], 60, 180), 0).astype(np.uint8).repeat(3, axis=2)
    return image, mask.astype(np.uint8) * 255


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Photographs of three sizes of vessel: 4, 4 and 8 px where the field of view is 376."""
    made = []
    for number, width in enumerate((4, 4, 8)):
        image, mask = _photograph(width)
        paths = write_image(tmp_path / f"{number}.png", image), write_image(tmp_path / f"{number}_mask.png", mask)
        made.append(Record(str(number), *paths))
    return made


def test_each_image_has_the_scale_of_its_vessels(records: list[Record]) -> None:
    usual = typical_diameter(records, IDS, 3.0)
    assert usual == pytest.approx(376 * 3 / 4, rel=0.15)
    place = Preprocessing(field_of_view_diameter_px=usual)
    samples = load_samples(records, IDS, place, vessel_width_px=3.0)
    sides = [sample.image.shape[0] for sample in samples]
    assert sides[0] == sides[1]
    assert sides[2] == pytest.approx(sides[0] / 2, rel=0.15)
    widths = [mean_width(sample.target == 1) for sample in samples]
    assert widths == pytest.approx([3.0, 3.0, 3.0], rel=0.2)
    assert {sample.image.shape for sample in load_samples(records, IDS, place)} == {samples[0].image.shape}


def test_an_empty_reference_leaves_the_usual_scale(records: list[Record], tmp_path: Path) -> None:
    image, mask = _photograph(4)
    place = Preprocessing(field_of_view_diameter_px=200)
    assert at_width(place, image, np.zeros_like(mask), 3.0) == place
    assert at_width(place, image, mask // 255, None) == place
    assert at_width(place, image, mask, 3.0, ignore_index=255) == place
    assert at_width(place, image, mask // 255, 99.0).field_of_view_diameter_px == 500
    empty = Record("none", records[0].image, write_image(tmp_path / "empty.png", np.zeros_like(mask)))
    assert typical_diameter([*records, empty], IDS, 3.0) == typical_diameter(records, IDS, 3.0)
    with pytest.raises(DataError, match="no training mask shows anything to measure"):
        typical_diameter([empty], IDS, 3.0)
