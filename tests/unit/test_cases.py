import numpy as np
import pytest
from PIL import Image

from ocuseg.classes import Classes, default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ImageError
from ocuseg.evaluation.cases import read_case, read_reference
from ocuseg.index.records import Record

IDS = MaskEncoding("ids", ((0, 0), (1, 1), (2, 2), (9, 9)))


@pytest.fixture
def save(tmp_path):
    def write(name, values):
        path = tmp_path / f"{name}.png"
        Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def image(save):
    return save("eye", np.full((2, 3, 3), 90))


def test_the_region_is_the_field_of_view_less_the_ignored_id(save, image):
    record = Record("eye", image, save("mask", [[0, 1, 9], [0, 1, 1]]), save("fov", [[0, 255, 255], [0, 255, 255]]))
    classes = Classes(default_classes(2).items, ignore_index=9)
    case = read_case(record, IDS, classes, region="field_of_view")
    assert case.region.tolist() == [[False, True, False], [False, True, True]]
    case = read_case(record, IDS, classes, region="image")
    assert case.region.tolist() == [[True, True, False], [True, True, True]]


def test_without_bounds_there_is_no_region(save, image):
    case = read_case(Record("eye", image, save("mask", np.ones((2, 3)))), IDS, default_classes(2), region="image")
    assert case.region is None
    assert case.second is None


def test_the_second_observer_has_its_own_ignored_pixels(save, image):
    record = Record("eye", image, save("a", [[0, 1, 1], [0, 1, 1]]), None, save("b", [[9, 1, 1], [0, 0, 1]]))
    classes = Classes(default_classes(2).items, ignore_index=9)
    case = read_case(record, IDS, classes, region="image", second_observer=True)
    assert case.region is None
    assert case.second_region.tolist() == [[False, True, True], [True, True, True]]


def test_a_second_mask_that_cannot_be_read_is_a_problem_not_an_error(save, image):
    record = Record("eye", image, save("a", np.ones((2, 3))), None, save("b", np.ones((3, 3))))
    case = read_case(record, IDS, default_classes(2), region="image", second_observer=True)
    assert case.second is None
    assert "b.png: is 3 x 3 pixels, but its image eye.png is 3 x 2" in case.problem


@pytest.mark.parametrize("broken", ["mask", "field_of_view"])
def test_another_size_is_an_error(save, image, broken):
    paths = {"mask": save("mask", np.ones((2, 3))), "field_of_view": save("fov", np.ones((2, 3)))}
    paths[broken] = save("other", np.ones((3, 3)))
    with pytest.raises(ImageError, match=r"other.png: is 3 x 3 pixels"):
        read_case(Record("eye", image, **paths), IDS, default_classes(2), region="field_of_view")


def test_a_class_that_the_model_lacks_is_an_error_only_where_it_counts(save, image):
    record = Record("eye", image, save("mask", [[0, 1, 2], [0, 1, 1]]), save("fov", [[255, 255, 0], [255, 255, 255]]))
    with pytest.raises(ImageError, match="holds the class 2, but the model knows only 0 to 1"):
        read_case(record, IDS, default_classes(2), region="image")
    assert read_case(record, IDS, default_classes(2), region="field_of_view").reference[0, 2] == 2


def test_no_mask_is_an_error(image):
    with pytest.raises(DataError, match="has no mask"):
        read_reference(Record("eye", image), IDS)
