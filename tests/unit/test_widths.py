"""How wide vessels are, and the scale at which an image is seen because of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocuseg.classes import default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, UsageError
from ocuseg.geometry import Placement, Preprocessing
from ocuseg.images import write_image
from ocuseg.index import Record
from ocuseg.metrics import mean_width
from ocuseg.prediction import Predictor
from ocuseg.prediction.adapting import adapted, sight
from ocuseg.training.samples import load_samples
from ocuseg.training.widths import at_width, known_width, typical_diameter

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


def _look(
    native_px: float, known_px: float, *, draws: Callable[[float], float] = float, doubts: bool = True
) -> Callable[[Placement], np.ndarray]:
    """What a network draws of rays that are `native_px` wide in an image of 400, the surer the nearer to its own."""

    def look(placement: Placement) -> np.ndarray:
        side = placement.working_size[0]
        found = np.asarray(_rays(draws(native_px * side / 400), side), np.float32)
        if doubts:
            far = abs(np.log(native_px * side / 400 / known_px))
            found[: round(min(0.1 * far, 1) * side)] = 0.4
        return found[None]

    return look


HERE = Placement((400, 400), (0, 0, 400, 400), (200, 200))


@pytest.mark.parametrize(("native", "side"), [(8, 200), (9, 200), (7, 200), (4, 400), (16, 100)])
def test_the_scale_is_that_of_the_known_width_or_nearly(native: float, side: int) -> None:
    placement = adapted(HERE, _look(native, 4.0), 4.0)
    if side == 200:
        assert placement == HERE
    assert side / 1.45 < placement.working_size[0] < side * 1.45
    width = sight(placement, _look(native, 4.0)).width_px
    assert width is not None
    assert 4 / 1.4 < width < 4 * 1.4


def test_a_network_that_draws_narrow_vessels_too_wide_is_understood() -> None:
    placement = adapted(HERE, _look(3, 4.0, draws=lambda width: 4 * (width / 4) ** 0.7), 4.0)
    assert placement.working_size[0] > 400
    assert placement.box == HERE.box


def test_a_scale_at_which_the_network_is_in_more_doubt_is_not_taken() -> None:
    """Of vessels that are far too wide for it, a network may draw the edges: thin, and wrong."""
    assert adapted(HERE, _look(16, 4.0, draws=lambda _: 1.5), 4.0) == HERE
    for doubts in (True, False):
        assert adapted(HERE, _look(4, 4.0, doubts=doubts), 4.0) != HERE


def test_it_stops_at_bounds_and_without_vessels() -> None:
    assert adapted(HERE, _look(1.2, 9.0, draws=lambda _: 2.0, doubts=False), 9.0).working_size == (500, 500)
    assert adapted(HERE, _look(40, 2.0, draws=lambda _: 9.0, doubts=False), 2.0).working_size == (80, 80)
    assert adapted(HERE, lambda placement: np.zeros((1, *placement.working_size), np.float32), 4.0) == HERE


def test_many_classes_have_no_width() -> None:
    with pytest.raises(UsageError, match="a drawn width has no meaning for 3 classes"):
        Predictor(lambda x: x, classes=default_classes(3), preprocessing=Preprocessing(drawn_width_px=3.0))


@pytest.mark.parametrize("width", [0, -1, True, float("nan"), float("inf"), "4"])
def test_a_width_that_is_none_is_refused(width: object) -> None:
    with pytest.raises(UsageError, match=r"drawn_width_px is .*; write a width in pixels"):
        Preprocessing(drawn_width_px=width)  # type: ignore[arg-type]


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
    assert at_width(place, image, mask // 255, 99.0).field_of_view_diameter_px == 500
    empty = Record("none", records[0].image, write_image(tmp_path / "empty.png", np.zeros_like(mask)))
    assert typical_diameter([*records, empty], IDS, 3.0) == typical_diameter(records, IDS, 3.0)
    with pytest.raises(DataError, match="no training mask shows anything to measure"):
        typical_diameter([empty], IDS, 3.0)


def test_a_new_image_is_seen_at_the_scale_of_those_that_were_learnt(records: list[Record]) -> None:
    """The network is good at one width alone: it finds dark lines that are about three pixels wide."""

    def dark(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, :1] < 0, 9.0, -9.0).astype(np.float32)

    place = Preprocessing(
        field_of_view_diameter_px=typical_diameter(records[:2], IDS, 3.0), crop="field_of_view", multiple=4
    )
    predictor = Predictor(dark, classes=default_classes(2), preprocessing=place)
    known = known_width(predictor, records[:2], IDS, 3.0)
    assert known == pytest.approx(3.0, rel=0.25)
    seen: list[int] = []

    def watched(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape[2])
        return dark(images)

    predictor = Predictor(
        watched,
        classes=default_classes(2),
        preprocessing=Preprocessing.from_json(place.to_json() | {"drawn_width_px": known}),
    )
    predictor(records[0].image)
    predictor(records[2].image)
    alike, other = seen[:2], seen[2:]
    assert len(set(alike)) == 1  # a look, and the prediction
    assert other[0] == alike[0]
    assert other[-1] == pytest.approx(alike[0] / 2, rel=0.4)
