import base64
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from contracts.evaluations import IDS, LENS, VESSEL, Red, drawn_records
from ocuseg.evaluation import evaluate_records
from ocuseg.reporting import write_evaluation
from ocuseg.reporting.layers import DIFFERENCE_COLOURS, MOST_BYTES, class_layer, difference_layer, painted

MOST_PAGE_BYTES = 15_000_000


def opened(address):
    """The kind of picture that a data URI holds, and its pixels as (H, W, 4)."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return picture.format, np.asarray(picture.convert("RGBA"))


def test_what_two_masks_agree_on_by_hand():
    reference = np.array([[0, 1, 1, 0, 2, 2, 1]], dtype=np.uint8)
    mask = np.array([[0, 1, 0, 1, 2, 1, 1]], dtype=np.uint8)
    region = np.array([[1, 1, 1, 1, 1, 1, 0]], dtype=np.bool_)
    layer = difference_layer(reference, mask, region)
    names = ["nothing", *DIFFERENCE_COLOURS]
    assert [names[label] for label in layer.labels[0]] == [
        "nothing", "agreed", "missed", "extra", "agreed", "other class", "not scored",
    ]  # fmt: skip


def test_a_layer_has_the_colours_of_the_classes_and_is_clear_elsewhere():
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[5:35, 5:25], mask[5:35, 30:55] = 1, 2
    mask[0, :3] = 255
    region = np.ones(mask.shape, dtype=np.bool_)
    region[:, 50:] = False
    kind, pixels = opened(painted({}, {"mask": class_layer(mask, LENS, region)}, MOST_BYTES).pictures["mask"])
    assert kind == "PNG"
    assert pixels.shape == (40, 60, 4)
    for column, colour in ((15, (230, 159, 0)), (40, (86, 180, 233))):
        assert tuple(pixels[20, column, :3]) == colour
        assert 60 < pixels[20, column, 3] < 160
    assert pixels[20, 5, 3] == pixels[5, 40, 3] == 255  # contours are firm
    assert pixels[20, 27, 3] == pixels[20, 52, 3] == pixels[0, 1, 3] == 0


def test_a_line_one_pixel_wide_is_still_there_after_reduction():
    mask = np.zeros((1500, 2000), dtype=np.uint8)
    mask[:, 1001] = 1
    painting = painted({}, {"mask": class_layer(mask, VESSEL)}, MOST_BYTES)
    _, pixels = opened(painting.pictures["mask"])
    assert painting.size == pixels.shape[:2] == (540, 720)
    assert (pixels[..., 3].max(axis=1) > 60).all()
    assert (np.count_nonzero(pixels[..., 3], axis=1) <= 2).all()


def test_pictures_shrink_until_they_take_no_more_than_they_may():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, size=(400, 400, 3), dtype=np.uint8)
    layers = {
        name: difference_layer(*rng.integers(0, 3, size=(2, 400, 400), dtype=np.uint8))
        for name in ("one", "two", "three")
    }
    painting = painted({"picture": noise}, layers, MOST_BYTES)
    assert sum(map(len, painting.pictures.values())) <= MOST_BYTES
    assert painting.size[0] < 300
    flat = painted({"picture": np.full_like(noise, 90)}, {}, MOST_BYTES)
    assert flat.size == (400, 400)


@pytest.mark.parametrize(("has_webp", "kind"), [(True, "WEBP"), (False, "JPEG")])
def test_a_photograph_is_jpeg_where_pillow_has_no_webp(monkeypatch, has_webp, kind):
    monkeypatch.setattr("PIL.features.check", lambda _: has_webp)
    image = np.dstack(
        np.broadcast_arrays(np.arange(90, dtype=np.uint8)[:, None], np.uint8(40), np.full(120, 7, np.uint8))
    )
    found, pixels = opened(painted({"picture": image}, {}, MOST_BYTES).pictures["picture"])
    assert found == kind
    assert np.abs(pixels[..., :3].astype(int) - image).mean() < 4


@pytest.mark.slow
def test_a_page_of_a_hundred_images_that_compress_badly_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    records = drawn_records(tmp_path / "data", [f"eye {index}" for index in range(100)], size=(180, 180))
    for record in records:
        Image.fromarray(rng.integers(0, 256, size=(180, 180, 3), dtype=np.uint8)).save(record.image)
    evaluation = evaluate_records(Red(VESSEL), records, IDS, borders=False, threads=False, second_observer=False)
    page = write_evaluation(evaluation, tmp_path / "out") / "report.html"
    assert page.read_text(encoding="utf-8").count('class="slider"') == 100
    assert 5_000_000 < page.stat().st_size < MOST_PAGE_BYTES


@pytest.mark.slow
def test_more_images_take_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("ocuseg.reporting.writing.usable_cores", lambda: 1)
    peaks = []
    for count in (2, 6):
        records = drawn_records(tmp_path / f"{count}", [f"eye {index}" for index in range(count)], size=(600, 800))
        evaluation = evaluate_records(Red(VESSEL), records, IDS, borders=False, threads=False, second_observer=False)
        tracemalloc.start()
        write_evaluation(evaluation, tmp_path / f"out {count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    images = 4 * 600 * 800 * 3
    assert peaks[1] - peaks[0] < images / 2
