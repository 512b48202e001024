"""The page of the service in a real browser: everything that it offers, by mouse, by keys, and on a phone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ocuseg
from browser.driving import changed, choose, download, drop, mask_of, middle, pixels_of, shown_on, slide, text_of
from servers import running

Open = Callable[..., Any]


def test_a_dropped_picture_is_shown_with_its_mask(opened: Any, bundles: list[Path], pictures: list[Path]) -> None:
    page = opened.page
    drop(page, pictures[0])
    page.wait_for_selector("#list small:has-text('vessel')")
    result = ocuseg.load(bundles[0])(pictures[0])
    assert pixels_of(page) == int(result.mask.sum())
    assert float(text_of(page, "vessel_density")) == pytest.approx(result.measures()["vessel_density"], abs=5e-5)
    assert "vessel" in page.get_attribute("#canvas", "aria-label")
    assert pictures[0].name in page.inner_text("#status")
    covered = shown_on(page)
    page.click("#overlay-shown")
    assert 0.005 < changed(covered, shown_on(page)) < 0.5
    assert page.get_attribute("#overlay-shown", "aria-pressed") == "false"
    page.click("#overlay-shown")
    assert changed(covered, shown_on(page)) == 0


def test_threshold_opacity_and_classes_change_what_is_seen(
    opened: Any, bundles: list[Path], pictures: list[Path]
) -> None:
    page = opened.page
    choose(page, pictures[0])
    assert "0.600, chosen on val" in page.inner_text("#threshold-said")
    own, density, shown = pixels_of(page), text_of(page, "vessel_density"), shown_on(page)
    predictor = ocuseg.load(bundles[0])
    slide(page, 104)
    predictor.threshold = 0.52
    result = predictor(pictures[0])
    assert pixels_of(page) == int(result.mask.sum()) != own  # exactly, and at once
    assert float(text_of(page, "vessel_density")) == pytest.approx(result.measures()["vessel_density"], abs=5e-5)
    assert text_of(page, "vessel_density") != density
    assert text_of(page, "mean_width_px") == "–"
    assert changed(shown, shown_on(page)) > 0.001
    page.click("#measure-again")
    page.wait_for_selector('[data-name="mean_width_px"]:not(:has-text("–"))')
    assert float(text_of(page, "mean_width_px")) == pytest.approx(result.measures()["mean_width_px"], abs=0.005)
    page.click("#threshold-own")
    assert (pixels_of(page), text_of(page, "vessel_density")) == (own, density)
    page.locator("#opacity").fill("10")
    assert page.inner_text("#opacity-said") == "10 %"
    assert changed(shown, shown_on(page)) > 0.001
    page.locator("#opacity").fill("60")
    page.uncheck("#class-1")
    plain = shown_on(page)
    assert changed(shown, plain) > 0.001
    page.check("#class-1")
    assert changed(shown, shown_on(page)) == 0


def test_what_is_downloaded_is_what_predict_writes(
    opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    page = opened.page
    choose(page, *pictures[:2])
    ocuseg.predict(bundles[0], pictures[0], out=tmp_path / "own")
    saved = download(page, "#save-mask", tmp_path)
    assert saved.name == f"{pictures[0].stem}_mask.png"
    assert saved.read_bytes() == (tmp_path / "own" / f"{pictures[0].stem}.png").read_bytes()
    slide(page, 104)
    ocuseg.predict(bundles[0], pictures[0], out=tmp_path / "moved", threshold=0.52)
    moved = download(page, "#save-mask", tmp_path)
    assert moved.read_bytes() == (tmp_path / "moved" / f"{pictures[0].stem}.png").read_bytes()
    assert not np.array_equal(mask_of(moved), mask_of(tmp_path / "own" / f"{pictures[0].stem}.png"))

    page.click("#threshold-own")
    page.locator("#opacity").fill("100")
    overlay = mask_of(download(page, "#save-overlay", tmp_path))[..., :3]
    mask = mask_of(tmp_path / "own" / f"{pictures[0].stem}.png")
    assert {tuple(colour) for colour in overlay[mask == 1].tolist()} == {(0x56, 0xB4, 0xE9)}
    with Image.open(pictures[0]) as picture:
        assert np.array_equal(overlay[mask == 0], np.asarray(picture)[mask == 0])

    text = download(page, "#save-table", tmp_path).read_text(encoding="utf-8")
    rows = list(csv.DictReader(StringIO(text)))
    results = [ocuseg.load(bundles[0])(path) for path in pictures[:2]]
    assert [row["image"] for row in rows] == [path.name for path in pictures[:2]]
    assert [int(row["pixels"]) for row in rows] == [int(result.mask.sum()) for result in results]
    assert [float(row["mean_width_px"]) for row in rows] == pytest.approx(
        [result.measures()["mean_width_px"] for result in results], abs=1e-6
    )


def test_models_are_flipped_and_flags_are_shown(opened: Any, bundles: list[Path], pictures: list[Path]) -> None:
    page = opened.page
    choose(page, pictures[0])
    assert page.locator("#flags").is_hidden()
    page.focus("#stage")
    page.keyboard.press("m")
    assert page.input_value("#model") == "bright-parts"
    assert page.locator("#threshold-field").is_hidden()
    page.wait_for_function("() => document.querySelector('[data-name=\"pixels-2\"]').textContent !== '–'")
    result = ocuseg.load(bundles[1])(pictures[0])
    assert [pixels_of(page, f"pixels-{one}") for one in range(3)] == [row["pixels"] for row in result.areas()]
    page.select_option("#model", "dark-lines-2")
    page.wait_for_selector("#flags:has-text('brighter'), #flags:has-text('darker')")
    assert "Do not trust its mask unseen" in page.inner_text("#flags")
    assert "differs" in page.inner_text("#list small")
    page.select_option("#model", "dark-lines")
    assert page.locator("#flags").is_hidden()


def test_keys_zoom_and_move_and_turn_pages(opened: Any, pictures: list[Path]) -> None:
    page = opened.page
    choose(page, *pictures)
    assert page.locator("#list button").count() == 3
    whole = shown_on(page)
    page.focus("#stage")
    for key in ("+", "+", "+", "+", "ArrowRight", "ArrowDown", "-", "0"):
        before = shown_on(page)
        page.keyboard.press(key)
        assert changed(before, shown_on(page)) > 0.01, key
    assert changed(whole, shown_on(page)) == 0
    page.mouse.move(*middle(page))
    page.mouse.wheel(0, -600)
    zoomed = shown_on(page)
    assert changed(whole, zoomed) > 0.01
    page.mouse.down()
    page.mouse.move(middle(page)[0] + 60, middle(page)[1] + 40)
    page.mouse.up()
    assert changed(zoomed, shown_on(page)) > 0.01
    page.keyboard.press("n")
    assert pictures[1].name in page.inner_text('#list [aria-current="true"]')
    page.keyboard.press("n")  # the TIFF, which the service makes a picture of
    page.wait_for_function("name => document.getElementById('status').textContent.includes(name)", arg=pictures[2].name)
    assert len(np.unique(shown_on(page))) > 50
    page.keyboard.press("p")
    page.keyboard.press("]")
    assert page.input_value("#threshold") == "121"
    assert page.evaluate("document.activeElement.id") == "stage"


def test_a_wrong_file_is_a_line_in_the_list(
    open_page: Open, address: str, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("no image")
    watched = open_page(address)
    choose(watched.page, tmp_path / "notes.png", pictures[0])
    rows = watched.page.locator("#list small").all_inner_texts()
    assert rows[0].startswith("image: is not an image; give PNG")
    assert rows[1].startswith("vessel")
    assert "is not an image" in watched.page.inner_text("#status")
    # The browser itself notes the answer of 415.
    assert [line for line in watched.complaints if "415" not in line] == []


def test_two_fingers_zoom_on_a_phone(open_page: Open, address: str, pictures: list[Path]) -> None:
    watched = open_page(address, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = watched.page
    choose(page, pictures[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#stage").scroll_into_view_if_needed()
    before = shown_on(page)
    x, y = middle(page)
    session = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100)):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert changed(before, shown_on(page)) > 0.01
    for button in page.locator("button:visible, select:visible").all():
        assert button.bounding_box()["height"] >= 36
    assert (watched.complaints, watched.foreign) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(
    scheme: str, width: int, open_page: Open, address: str, pictures: list[Path]
) -> None:
    watched = open_page(address, viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert watched.serious_violations() == []
    watched.page.select_option("#model", "dark-lines-2")
    choose(watched.page, *pictures)
    slide(watched.page, 104)
    watched.page.click("summary")
    assert watched.page.locator("#flags").is_visible()
    assert watched.serious_violations() == []
    dark = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")
    assert (watched.complaints, watched.foreign) == ([], [])


def test_the_token_is_asked_for_once(open_page: Open, bundles: list[Path], pictures: list[Path]) -> None:
    with running(bundles[:1], token="a-token-that-is-long") as address:
        watched = open_page(address)
        page = watched.page
        page.wait_for_selector("#token-dialog[open]")
        assert watched.serious_violations() == []
        page.fill("#token", "t\u0161k")  # no header can hold it
        page.keyboard.press("Enter")
        assert page.locator("#token-dialog[open]").count() == 1
        assert page.locator("#token:invalid").count() == 1
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('token').value === ''")
        page.fill("#token", "a-token-that-is-long")
        page.keyboard.press("Enter")
        choose(page, pictures[0])
        page.wait_for_selector("#token-dialog", state="hidden")
        assert [line for line in watched.complaints if "401" not in line] == []
