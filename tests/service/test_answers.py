"""What the service answers to good images: the masks, areas, measures and flags of `ocuseg predict`."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import ocuseg
from ocuseg.service.answers import VIEW_PX, run_lengths
from ocuseg.service.seeing import STEPS


def _mask(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as picture:
        assert picture.mode == "P"
        return np.asarray(picture)


def _from_runs(rle: dict[str, Any]) -> np.ndarray:
    values = np.arange(len(rle["counts"])) % 2
    return np.repeat(values, rle["counts"]).reshape(rle["size"], order="F")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("as_form", [False, True])
def test_the_mask_is_the_file_that_predict_writes(
    number: int, as_form: bool, client: httpx.Client, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    ocuseg.predict(bundles[number], pictures[0], out=tmp_path)
    name = ("dark-lines", "bright-parts")[number]
    content = pictures[0].read_bytes()
    sent: Any = {"files": {"image": ("any.png", content)}} if as_form else {"content": content}
    answer = client.post("/v1/predict", params={"model": name}, headers={"Accept": "image/png"}, **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    written = (tmp_path / f"{pictures[0].stem}.png").read_bytes()
    assert answer.content == written
    assert len(np.unique(_mask(written))) > 1


def test_json_has_the_mask_areas_measures_and_flags_of_the_result(
    client: httpx.Client, bundles: list[Path], pictures: list[Path]
) -> None:
    for name, bundle in zip(("dark-lines", "bright-parts", "dark-lines-2"), bundles, strict=True):
        result = ocuseg.load(bundle)(pictures[1])
        found = client.post("/v1/predict", params={"model": name}, content=pictures[1].read_bytes()).json()
        mask = np.zeros_like(result.mask)
        for part in found["masks"]:
            mask[_from_runs(part["rle"]) == 1] = part["class_id"]
        assert np.array_equal(mask, result.mask)
        assert (found["model"], found["height"], found["width"]) == (name, *result.mask.shape)
        assert [row["pixels"] for row in found["areas"]] == [row["pixels"] for row in result.areas()]
        assert [row["name"] for row in found["areas"]] == [row["class"] for row in result.areas()]
        assert found["measures"] == json.loads(json.dumps(result.measures()))
        assert found["flags"] == list(result.flags)
        assert found["threshold"] == result.threshold
        assert found["mask_png"] is found["probabilities"] is found["preview"] is None
    assert found["flags"]


def _turned(picture: Image.Image, path: Path) -> Path:
    """The picture as a camera on its side saves it: stored lying, with the way to turn it in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.rotate(90, expand=True).save(path.with_suffix(".jpg"), quality=98, exif=exif)
    return path.with_suffix(".jpg")


def _twelve_bits(picture: Image.Image, path: Path) -> Path:
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 16
    Image.fromarray(grey).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def _deep_tiff(picture: Image.Image, path: Path) -> Path:
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path.with_suffix(".tif"))
    return path.with_suffix(".tif")


@pytest.mark.parametrize("write", [_turned, _twelve_bits, _deep_tiff])
def test_turned_and_deep_pictures_are_read_as_predict_reads_them(
    write: Callable[[Image.Image, Path], Path],
    client: httpx.Client, bundles: list[Path], pictures: list[Path], tmp_path: Path,
) -> None:  # fmt: skip
    with Image.open(pictures[0]) as picture:
        path = write(picture.crop((0, 0, 96, 60)), tmp_path / "odd")
    ocuseg.predict(bundles[0], path, out=tmp_path / "masks")
    written = (tmp_path / "masks" / "odd.png").read_bytes()
    assert client.post("/v1/predict", params={"format": "mask"}, content=path.read_bytes()).content == written
    assert _mask(written).shape == (60, 96)
    assert _mask(written).any()


def test_a_dicom_file_has_the_columns_of_areas_csv_and_names_nobody(
    client: httpx.Client, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("pydicom", reason="the extra 'medical' is not installed")
    from formats.dicom_files import PERSON, photograph, save

    with Image.open(pictures[0]) as picture:
        pixels = np.stack([np.asarray(picture)] * 2)
    data = photograph(pixels, PixelSpacing=[0.5, 0.25], ImageLaterality="R")
    path = save(data, tmp_path / "eye.dcm")
    [outcome] = ocuseg.predict(bundles[0], path, out=tmp_path / "masks")
    with (tmp_path / "masks" / "areas.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    asked = {"with": ["mask_png", "preview"]}
    answer = client.post("/v1/predict", params=asked, content=path.read_bytes())
    [area] = answer.json()["areas"]
    assert (area["pixels"], area["area_mm2"], area["laterality"]) == (
        int(row["pixels"]), float(row["area_mm2"]), row["laterality"],
    )  # fmt: skip
    assert area["area_mm2"] == area["pixels"] * 0.125 > 0
    assert outcome.facts is not None
    assert answer.json()["notes"] == list(outcome.facts.notes) == ["has 2 frames, of which the first is taken"]
    assert base64.b64decode(answer.json()["mask_png"]) == (tmp_path / "masks" / "eye.png").read_bytes()
    assert not [word for word in PERSON.values() if word in answer.text]
    rows = client.post("/v1/predict/batch", files={"images": path.read_bytes()}).json()["images"]
    assert rows[0]["prediction"]["areas"] == [area]
    plain = client.post("/v1/predict", content=pictures[0].read_bytes()).json()
    assert (plain["areas"][0]["area_mm2"], plain["areas"][0]["laterality"], plain["notes"]) == (None, None, [])


def test_a_threshold_moves_the_mask(client: httpx.Client, bundles: list[Path], pictures: list[Path]) -> None:
    predictor = ocuseg.load(bundles[0])
    before = predictor(pictures[0]).mask
    predictor.threshold = 0.53
    answer = client.post("/v1/predict", params={"threshold": 0.53, "format": "mask"}, content=pictures[0].read_bytes())
    assert np.array_equal(_mask(answer.content), predictor(pictures[0]).mask)
    assert not np.array_equal(before, predictor(pictures[0]).mask)


def test_the_probabilities_say_the_mask_at_each_threshold_of_the_slider(
    client: httpx.Client, bundles: list[Path], pictures: list[Path]
) -> None:
    asked = {"with": ["probabilities", "preview", "mask_png"]}
    found = client.post("/v1/predict", params=asked, content=pictures[0].read_bytes()).json()
    [channel] = found["probabilities"]
    assert channel["class_id"] == 1
    with Image.open(BytesIO(base64.b64decode(channel["png"]))) as picture:
        assert picture.mode == "L"
        levels = np.asarray(picture)
    predictor = ocuseg.load(bundles[0])
    seen = set()
    for step in range(0, STEPS + 1, 5):
        predictor.threshold = step / STEPS
        mask = predictor(pictures[0]).mask
        assert np.array_equal(levels >= step, mask == 1), step
        seen.add(int(mask.sum()))
    assert len(seen) > 10
    result = ocuseg.load(bundles[0])(pictures[0])
    inside = _from_runs(found["field_of_view"])
    density = (inside * result.mask).sum() / inside.sum()
    assert density == pytest.approx(result.measures()["vessel_density"], abs=1e-6)
    assert np.array_equal(_mask(base64.b64decode(found["mask_png"])), result.mask)
    with Image.open(BytesIO(base64.b64decode(found["preview"]))) as picture:
        assert picture.size == result.mask.shape[::-1]
    assert found["masks"] is None


def test_many_classes_have_probabilities_each(client: httpx.Client, pictures: list[Path]) -> None:
    asked = {"model": "bright-parts", "with": "probabilities"}
    found = client.post("/v1/predict", params=asked, content=pictures[0].read_bytes()).json()
    assert [one["class_id"] for one in found["probabilities"]] == [0, 1, 2]
    assert (found["threshold"], found["field_of_view"]) == (None, None)


def test_pictures_for_the_page_are_reduced_where_they_are_huge() -> None:
    from ocuseg.service.answers import _view

    with Image.open(BytesIO(_view(np.full((3001, 2000), 7, np.uint8), "PNG"))) as picture:
        assert picture.size == (1000, 1501)
        assert picture.size[0] * picture.size[1] <= VIEW_PX
        assert set(np.unique(np.asarray(picture))) == {7}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
def test_run_lengths_are_those_of_coco() -> None:
    # The example of pycocotools' documentation: M = [0 0 1 1 1 0 1] is [2 3 1 1], M = [1 1 1 1 1 1 0] is [0 6 1].
    assert run_lengths(np.array([[0, 0, 1, 1, 1, 0, 1]]).T > 0).counts == [2, 3, 1, 1]
    assert run_lengths(np.array([[1, 1, 1, 1, 1, 1, 0]]).T > 0).counts == [0, 6, 1]
    assert run_lengths(np.array([[0, 1], [0, 0], [1, 0]]) > 0).model_dump() == {"size": (3, 2), "counts": [2, 2, 2]}
    mask_api = pytest.importorskip("pycocotools.mask")
    mask = np.random.default_rng(1).random((17, 23)) > 0.6
    rle = run_lengths(mask).model_dump()
    packed = mask_api.frPyObjects({"size": list(rle["size"]), "counts": rle["counts"]}, *rle["size"])
    assert np.array_equal(mask_api.decode(packed), mask)


def test_a_batch_has_a_row_for_each_image(client: httpx.Client, pictures: list[Path], png: bytes) -> None:
    files = [
        ("images", ("a b.png", pictures[0].read_bytes())), ("images", ("cut.png", png[:-20])),
        ("images", ("up/c.png", png)),
    ]  # fmt: skip
    answer = client.post("/v1/predict/batch", files=files, params={"with": "mask_png"})
    assert answer.status_code == 200
    rows = answer.json()["images"]
    assert [(row["index"], row["name"], row["status"]) for row in rows] == [
        (0, "a b.png", 200), (1, "cut.png", 422), (2, "c.png", 200),
    ]  # fmt: skip
    alone = client.post("/v1/predict", params={"format": "mask"}, content=pictures[0].read_bytes())
    assert base64.b64decode(rows[0]["prediction"]["mask_png"]) == alone.content
    assert rows[1]["prediction"] is None
    assert "truncated or damaged PNG" in rows[1]["error"]
    assert rows[0]["error"] is None


def test_the_models_and_limits_are_described(client: httpx.Client, bundles: list[Path]) -> None:
    found = client.get("/v1/model").json()
    assert [model["name"] for model in found["models"]] == ["dark-lines", "bright-parts", "dark-lines-2"]
    first, second = found["models"][:2]
    assert (first["threshold"], first["threshold_chosen_on"], second["threshold"]) == (0.6, "val", None)
    assert [one["name"] for one in second["classes"]] == ["background", "iris", "pupil"]
    assert second["classes"][2]["parent"] == "iris"
    assert [one["listed"] for one in first["classes"]] == [False, True]
    assert first["card"] == (bundles[0] / "README.md").read_text(encoding="utf-8")
    assert (first["licence"], found["limits"]["image_px"]) == ("Apache-2.0", 40_000)
    assert found["notice"] == "Research use, not a medical device."


def test_health_and_numbers(client: httpx.Client, png: bytes) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    client.post("/v1/predict", files={"image": ("a-name-of-a-person.png", png)})
    client.post("/v1/predict", content=b"no image")
    numbers = client.get("/metrics")
    assert numbers.headers["content-type"].startswith("text/plain; version=")
    assert 'ocuseg_requests_total{route="/v1/predict",status="200"}' in numbers.text
    assert 'ocuseg_requests_total{route="/v1/predict",status="415"}' in numbers.text
    assert 'ocuseg_image_seconds_count{model="dark-lines"}' in numbers.text
    assert "ocuseg_requests_in_work 0.0" in numbers.text
    assert "ocuseg_held_bytes 0.0" in numbers.text
    assert "person" not in numbers.text
