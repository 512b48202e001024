"""A new model knows what it was made for, says so of other pictures, and segments them all the same."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ocuseg
from ocuseg.field_of_view import find_field_of_view
from ocuseg.images import read_image, write_image
from ocuseg.index import build_index
from ocuseg.metrics import VESSEL_COLUMNS
from ocuseg.phantom import draw_eye, draw_fundus
from ocuseg.suitability import FEATURES, MadeFor, differences, features, learn_features
from ocuseg.training.run import Run

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_a_new_bundle_flags_what_it_was_not_made_for(trained: Run) -> None:
    predictor = ocuseg.load(trained, runtime="onnxruntime")
    assert predictor.made_for
    assert all(set(row) == set(FEATURES) for row in predictor.made_for)
    for seed in range(50, 58):
        assert predictor(draw_fundus(seed, 96).image).flags == ()
        assert predictor(draw_eye(seed, 96).image).flags
    assert "darker" in predictor(np.zeros((96, 96, 3), np.uint8)).flags


@pytest.mark.slow
def test_predict_says_so_in_a_line_and_goes_on(trained: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "fundus.png", draw_fundus(50, 96).image)
    write_image(tmp_path / "in" / "eye.png", draw_eye(50, 96).image)
    done = program("predict", trained.bundle, tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0
    (said,) = (line for line in done.stderr.splitlines() if "differs from the pictures" in line)
    assert said.startswith(f"ocuseg: {tmp_path / 'in' / 'eye.png'}: ")
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        eye, fundus = csv.DictReader(file)
    assert list(eye) == ["image", "flags", *VESSEL_COLUMNS]
    assert (eye["image"], fundus["flags"]) == ("eye", "")
    assert f"({eye['flags'].replace('; ', ', ')})" in said
    assert 0 < float(fundus["vessel_density"]) < 0.5
    assert (tmp_path / "out" / "eye.png").is_file()
    alone = program("predict", trained.bundle, tmp_path / "in" / "fundus.png", "--out", tmp_path / "alone")
    assert alone.stdout.startswith("field_of_view_diameter_px: 9")
    assert "\nvessel_density: 0." in alone.stdout


def seen(image: np.ndarray) -> dict[str, float]:
    """The features of the picture alone, as no network is trained for these tests."""
    area = find_field_of_view(lambda top, bottom: image[top:bottom], image.shape[:2])
    found = features(lambda top, bottom: image[top:bottom], area, np.zeros(3, np.int64))
    return {name: value for name, value in found.items() if name != "foreground"}


@pytest.fixture(scope="module")
def fundus(shared_data: Path) -> MadeFor:
    """What eight photographs of one camera teach."""
    index = build_index(shared_data / "chase_db1" / "split_8_20.csv")
    records = (*index.of_split("train"), *index.of_split("val"))
    return learn_features(seen(read_image(record.image)) for record in records)


@pytest.mark.slow
def test_photographs_of_other_cameras_pass(shared_data: Path, fundus: MadeFor) -> None:
    data = pytest.importorskip("skimage.data")
    paths = sorted((shared_data / "chase_db1" / "images").iterdir())[8:]
    paths += [shared_data / "hrf" / "images" / name for name in ("01_h.jpg", "06_dr.JPG", "11_g.jpg", "15_dr.JPG")]
    assert [differences(seen(read_image(path)), fundus) for path in paths] == [()] * 24
    assert differences(seen(data.retina()), fundus) == ()


@pytest.mark.slow
def test_other_pictures_of_the_eye_are_flagged(shared_data: Path, fundus: MadeFor) -> None:
    data = pytest.importorskip("skimage.data")
    folders = [shared_data / "cataract_lens" / "slit", shared_data / "cataract_frames"]
    paths = [path for folder in folders for path in (folder / "images").iterdir()]
    paths += sorted((shared_data / "inp_eye" / "images").iterdir())[::100]
    assert len(paths) > 30
    assert all(differences(seen(read_image(path)), fundus) for path in paths)
    assert all(differences(seen(image), fundus) for image in (data.chelsea(), data.astronaut(), data.coffee()))


@pytest.mark.slow
def test_surgery_of_another_video_passes_and_a_fundus_does_not(shared_data: Path) -> None:
    paths = sorted((shared_data / "cataract_frames" / "images").iterdir())
    found = {path: seen(read_image(path)) for path in paths}
    for path in paths:
        video = path.stem.rpartition("_")[0]
        others = [row for other, row in found.items() if other.stem.rpartition("_")[0] != video]
        assert differences(found[path], learn_features(others)) == ()
    surgery = learn_features(found.values())
    fundus = sorted((shared_data / "chase_db1" / "images").iterdir())
    assert all(differences(seen(read_image(path)), surgery) for path in fundus[::4])
