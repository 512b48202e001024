"""Pictures of all kinds, dropped on the page of the service in a real browser: large, turned, deep, DICOM, none."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ocuseg
from browser.driving import changed, choose, download, drop, mask_of, pixels_of, shown_on, slide, text_of
from ocuseg.phantom import write_fundus_set
from ocuseg.service.limits import Limits
from servers import running

CHASE = Path(__file__).parents[3] / "shared" / "data" / "chase_db1" / "images"

Open = Callable[..., Any]


def _written(bundle: Path | str, path: Path, folder: Path) -> Path:
    """The mask that `ocuseg predict` writes for a picture."""
    [outcome] = ocuseg.predict(bundle, path, out=folder)
    return outcome.written[0]


def test_a_turned_photograph_is_shown_upright_with_its_mask(
    opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by a quarter
    with Image.open(pictures[0]) as picture:
        upright = picture.crop((0, 0, 192, 120))
    upright.rotate(90, expand=True).save(path, quality=98, exif=exif)
    page = opened.page
    choose(page, path)
    page.click("#overlay-shown")
    shown = shown_on(page)
    rows, columns = np.nonzero(shown.sum(axis=2) > 0)
    assert np.ptp(columns) > 1.4 * np.ptp(rows)  # wider than high, as the picture upright
    assert (
        download(page, "#save-mask", tmp_path).read_bytes() == _written(bundles[0], path, tmp_path / "m").read_bytes()
    )


@pytest.mark.parametrize("name", ["deep.png", "misnamed.jpg"])
def test_what_the_browser_shows_wrongly_or_not_is_shown_as_the_model_saw_it(
    name: str, opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    # Of 16 bits a browser shows the high ones, next to nothing of 12; and a TIFF it does not show, whatever its name.
    with Image.open(pictures[0]) as picture:
        grey = picture.convert("L")
    path = tmp_path / name
    if name == "deep.png":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 16).save(path)
    else:
        grey.save(path, "TIFF")
    page = opened.page
    drop(page, path)
    page.wait_for_selector("#list small:has-text('vessel')")
    page.click("#overlay-shown")
    page.wait_for_function("name => document.getElementById('status').textContent.startsWith(name)", arg=name)
    shown = shown_on(page)
    assert shown.max() > 100
    assert len(np.unique(shown)) > 50
    assert (
        download(page, "#save-mask", tmp_path).read_bytes() == _written(bundles[0], path, tmp_path / "m").read_bytes()
    )


def test_a_dicom_file_shows_its_size_and_its_eye_and_nobody(
    opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("pydicom", reason="the extra 'medical' is not installed")
    from formats.dicom_files import PERSON, photograph, save

    with Image.open(pictures[0]) as picture:
        pixels = np.stack([np.asarray(picture)] * 2)
    path = save(photograph(pixels, PixelSpacing=[0.02, 0.03], ImageLaterality="L"), tmp_path / "eye.dcm")
    written = _written(bundles[0], path, tmp_path / "m")
    with (tmp_path / "m" / "areas.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    page = opened.page
    choose(page, pictures[0], path)
    assert page.locator('[data-name="size-1"]').count() == 0
    page.click("#list li:last-child button")
    page.wait_for_selector("#status:has-text('left eye, has 2 frames, of which the first is taken')")
    assert text_of(page, "size-1") == f"{float(row['area_mm2']):.3f} mm²"
    assert len(np.unique(shown_on(page))) > 50
    assert download(page, "#save-mask", tmp_path).read_bytes() == written.read_bytes()
    lines = list(csv.DictReader(StringIO(download(page, "#save-table", tmp_path).read_text(encoding="utf-8"))))
    assert (lines[0]["area_mm2"], lines[0]["laterality"]) == ("", "")
    assert (float(lines[1]["area_mm2"]), lines[1]["laterality"]) == (float(row["area_mm2"]), "L")
    slide(page, 104)
    moved = int(page.locator('[data-name="pixels-1"]').inner_text().split()[0].replace(",", ""))
    assert moved > int(row["pixels"])
    assert text_of(page, "size-1") == f"{moved * 0.0006:.3f} mm²"
    assert not [word for word in PERSON.values() if word in page.inner_text("body")]
    page.select_option("#model", "bright-parts")
    page.wait_for_selector('[data-name="size-2"]')
    for width in (1280, 800, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_too_large_is_a_line_and_the_rest_is_done(
    open_page: Open, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (190, 190, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "bytes.png")  # 0.11 million
    Image.new("RGB", (400, 300)).save(tmp_path / "pixels.png")
    with running(bundles[:1], limits=Limits(image_bytes=100_000, image_px=100_000)) as address:
        watched = open_page(address)
        choose(watched.page, tmp_path / "bytes.png", tmp_path / "pixels.png", pictures[0])
        lines = watched.page.locator("#list small").all_inner_texts()
    assert lines[0] == "the file has more than 0.100 million bytes; choose a smaller one"
    assert "400 x 300" in lines[1]
    assert "; " in lines[1]
    assert lines[2].startswith("vessel")
    assert [line for line in watched.complaints if "413" not in line] == []


def test_a_picture_of_many_pixels_is_shown_reduced_and_downloaded_whole(
    opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    with Image.open(pictures[0]) as picture:
        tiled = np.tile(np.asarray(picture), (11, 13, 1))[:2001, :2495]  # 5 million pixels: every second one is shown
    path = tmp_path / "large.png"
    Image.fromarray(tiled).save(path)
    page = opened.page
    drop(page, path)
    page.wait_for_selector("#list small:has-text('vessel')", timeout=120_000)
    assert pixels_of(page) == (mask_of(_written(bundles[0], path, tmp_path / "own")) == 1).sum()
    slide(page, 104)
    assert "Counted in the reduced picture" in page.inner_text("#measures-note")
    [outcome] = ocuseg.predict(bundles[0], path, out=tmp_path / "moved", threshold=0.52)
    exact = int((mask_of(outcome.written[0]) == 1).sum())
    assert pixels_of(page) == pytest.approx(exact, rel=0.15)
    # Predict writes the rows of a large picture as they come, so that the bytes differ.
    assert np.array_equal(mask_of(download(page, "#save-mask", tmp_path)), mask_of(outcome.written[0]))
    assert pixels_of(page) == exact  # what was measured for the download
    assert page.locator("#measures-note").is_hidden()
    with Image.open(download(page, "#save-overlay", tmp_path)) as overlay:
        assert overlay.size == (1248, 1001)


def test_a_file_that_is_gone_is_a_line(opened: Any, pictures: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(pictures[0].read_bytes())
    choose(opened.page, path)
    path.unlink()
    opened.page.select_option("#model", "bright-parts")
    opened.page.wait_for_selector("#list small:has-text('cannot be read; choose it again')")


@pytest.fixture(scope="module")
def vessels() -> Iterator[str]:
    """The model that ships, served."""
    with running(["vessels"]) as found:
        yield found


@pytest.mark.parametrize("kind", ["drawn", "CHASE"])
def test_the_shipped_model_gives_the_files_that_predict_writes(
    kind: str, vessels: str, open_page: Open, tmp_path: Path
) -> None:
    if kind == "drawn":
        data = write_fundus_set(tmp_path / "set", {"test": 1}, seed=4, size=384)
        [path] = (data / "test" / "images").iterdir()
    elif CHASE.is_dir():
        path = min(CHASE.iterdir())
    else:
        pytest.skip("the shared CHASE_DB1 images are not here")
    written = _written("vessels", path, tmp_path / "m")
    watched = open_page(vessels)
    page = watched.page
    drop(page, path)
    page.wait_for_selector("#list small:has-text('vessel')", timeout=120_000)
    mask = mask_of(written)
    assert pixels_of(page) == (mask == 1).sum() > 0.01 * mask.size
    assert download(page, "#save-mask", tmp_path).read_bytes() == written.read_bytes()
    with (tmp_path / "m" / "areas.csv").open(newline="") as file, (tmp_path / "m" / "measures.csv").open() as other:
        [area], [measured] = csv.DictReader(file), csv.DictReader(other)
    [line] = csv.DictReader(StringIO(download(page, "#save-table", tmp_path).read_text(encoding="utf-8")))
    assert {name: line[name] for name in area if name != "image"} == {
        name: area[name] for name in area if name != "image"
    }
    same = [name for name in measured if name in line and name not in ("image", "flags")]
    assert len(same) >= 5
    assert [float(line[name]) for name in same] == pytest.approx([float(measured[name]) for name in same], abs=1e-6)
    assert line["flags"] == measured["flags"]
    if kind == "CHASE":
        assert line["flags"] == ""
    own, density, covered = pixels_of(page), text_of(page, "vessel_density"), shown_on(page)
    slide(page, 190)
    assert 0 < pixels_of(page) < own
    assert float(text_of(page, "vessel_density")) < float(density)
    assert changed(covered, shown_on(page)) > 0
    assert (watched.complaints, watched.foreign) == ([], [])
