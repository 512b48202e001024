"""The page of the service in a real browser: everything that it offers, by mouse, by keys, and on a phone."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ocuseg
from ocuseg.phantom import write_fundus_set
from servers import running
from tiny_bundles import served_bundles

CHASE = Path(__file__).parents[3] / "shared" / "data" / "chase_db1" / "images"

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return served_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two drawn fundus photographs, and the second as a TIFF, which no browser shows."""
    data = write_fundus_set(tmp_path_factory.mktemp("drawn") / "set", {"train": 1, "test": 2}, seed=3, size=192)
    drawn = sorted((data / "test" / "images").iterdir())
    with Image.open(drawn[1]) as picture:
        picture.save(drawn[1].with_suffix(".tif"))
    return [*drawn, drawn[1].with_suffix(".tif")]


@pytest.fixture(scope="module")
def address(bundles: list[Path]) -> Iterator[str]:
    with running(bundles) as found:
        yield found


@pytest.fixture
def opened(open_page: Open, address: str) -> Iterator[Any]:
    """The page, which must not have complained or asked another host when the test ends."""
    watched = open_page(address)
    yield watched
    assert watched.complaints == []
    assert watched.foreign == []


def _choose(page: Any, *paths: Path) -> None:
    page.wait_for_function("() => !document.getElementById('files').disabled")  # the models are known
    page.set_input_files("#files", [str(path) for path in paths])
    page.wait_for_function(
        "count => { const rows = [...document.querySelectorAll('#list small')];"
        " return rows.length >= count && rows.every(row => !row.textContent.includes('waiting')); }",
        arg=len(paths),
    )


def _text(page: Any, name: str) -> str:
    return str(page.locator(f'[data-name="{name}"]').inner_text())


def _pixels(page: Any, name: str = "pixels-1") -> int:
    return int(_text(page, name).replace(",", ""))


def _slide(page: Any, value: int) -> None:
    page.locator("#threshold").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


def _canvas(page: Any) -> np.ndarray:
    """The pixels that are shown; what was asked for has been drawn after two frames."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    address = page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
    with Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def _changed(before: np.ndarray, after: np.ndarray) -> float:
    """The share of what is shown that is another colour."""
    return float((before != after).any(axis=2).mean())


def _saved(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def _mask(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_dropped_picture_is_shown_with_its_mask(opened: Any, bundles: list[Path], pictures: list[Path]) -> None:
    page = opened.page
    content = pictures[0].read_bytes()
    transfer = page.evaluate_handle(
        "([bytes, name]) => { const t = new DataTransfer();"
        " t.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'})); return t; }",
        [list(content), pictures[0].name],
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#list small:has-text('vessel')")
    result = ocuseg.load(bundles[0])(pictures[0])
    assert _pixels(page) == int(result.mask.sum())
    assert float(_text(page, "vessel_density")) == pytest.approx(result.measures()["vessel_density"], abs=5e-5)
    assert "vessel" in page.get_attribute("#canvas", "aria-label")
    assert pictures[0].name in page.inner_text("#status")
    covered = _canvas(page)
    page.click("#overlay-shown")
    assert 0.005 < _changed(covered, _canvas(page)) < 0.5
    assert page.get_attribute("#overlay-shown", "aria-pressed") == "false"
    page.click("#overlay-shown")
    assert _changed(covered, _canvas(page)) == 0


def test_threshold_opacity_and_classes_change_what_is_seen(
    opened: Any, bundles: list[Path], pictures: list[Path]
) -> None:
    page = opened.page
    _choose(page, pictures[0])
    assert "0.600, chosen on val" in page.inner_text("#threshold-said")
    own, density, shown = _pixels(page), _text(page, "vessel_density"), _canvas(page)
    predictor = ocuseg.load(bundles[0])
    _slide(page, 104)
    predictor.threshold = 0.52
    result = predictor(pictures[0])
    assert _pixels(page) == int(result.mask.sum()) != own  # exactly, and at once
    assert float(_text(page, "vessel_density")) == pytest.approx(result.measures()["vessel_density"], abs=5e-5)
    assert _text(page, "vessel_density") != density
    assert _text(page, "mean_width_px") == "–"
    assert _changed(shown, _canvas(page)) > 0.001
    page.click("#measure-again")
    page.wait_for_selector('[data-name="mean_width_px"]:not(:has-text("–"))')
    assert float(_text(page, "mean_width_px")) == pytest.approx(result.measures()["mean_width_px"], abs=0.005)
    page.click("#threshold-own")
    assert (_pixels(page), _text(page, "vessel_density")) == (own, density)
    page.locator("#opacity").fill("10")
    assert page.inner_text("#opacity-said") == "10 %"
    assert _changed(shown, _canvas(page)) > 0.001
    page.locator("#opacity").fill("60")
    page.uncheck("#class-1")
    plain = _canvas(page)
    assert _changed(shown, plain) > 0.001
    page.check("#class-1")
    assert _changed(shown, _canvas(page)) == 0


def test_what_is_downloaded_is_what_predict_writes(
    opened: Any, bundles: list[Path], pictures: list[Path], tmp_path: Path
) -> None:
    page = opened.page
    _choose(page, *pictures[:2])
    ocuseg.predict(bundles[0], pictures[0], out=tmp_path / "own")
    saved = _saved(page, "#save-mask", tmp_path)
    assert saved.name == f"{pictures[0].stem}_mask.png"
    assert saved.read_bytes() == (tmp_path / "own" / f"{pictures[0].stem}.png").read_bytes()
    _slide(page, 104)
    ocuseg.predict(bundles[0], pictures[0], out=tmp_path / "moved", threshold=0.52)
    moved = _saved(page, "#save-mask", tmp_path)
    assert moved.read_bytes() == (tmp_path / "moved" / f"{pictures[0].stem}.png").read_bytes()
    assert not np.array_equal(_mask(moved), _mask(tmp_path / "own" / f"{pictures[0].stem}.png"))

    page.click("#threshold-own")
    page.locator("#opacity").fill("100")
    overlay = _mask(_saved(page, "#save-overlay", tmp_path))[..., :3]
    mask = _mask(tmp_path / "own" / f"{pictures[0].stem}.png")
    assert {tuple(colour) for colour in overlay[mask == 1].tolist()} == {(0x56, 0xB4, 0xE9)}
    with Image.open(pictures[0]) as picture:
        assert np.array_equal(overlay[mask == 0], np.asarray(picture)[mask == 0])

    text = _saved(page, "#save-table", tmp_path).read_text(encoding="utf-8")
    rows = list(csv.DictReader(StringIO(text)))
    results = [ocuseg.load(bundles[0])(path) for path in pictures[:2]]
    assert [row["image"] for row in rows] == [path.name for path in pictures[:2]]
    assert [int(row["pixels"]) for row in rows] == [int(result.mask.sum()) for result in results]
    assert [float(row["mean_width_px"]) for row in rows] == pytest.approx(
        [result.measures()["mean_width_px"] for result in results], abs=1e-6
    )


def test_models_are_flipped_and_flags_are_shown(opened: Any, bundles: list[Path], pictures: list[Path]) -> None:
    page = opened.page
    _choose(page, pictures[0])
    assert page.locator("#flags").is_hidden()
    page.focus("#stage")
    page.keyboard.press("m")
    assert page.input_value("#model") == "bright-parts"
    assert page.locator("#threshold-field").is_hidden()
    page.wait_for_function("() => document.querySelector('[data-name=\"pixels-2\"]').textContent !== '–'")
    result = ocuseg.load(bundles[1])(pictures[0])
    assert [_pixels(page, f"pixels-{one}") for one in range(3)] == [row["pixels"] for row in result.areas()]
    page.select_option("#model", "dark-lines-2")
    page.wait_for_selector("#flags:has-text('brighter'), #flags:has-text('darker')")
    assert "Do not trust its mask unseen" in page.inner_text("#flags")
    assert "differs" in page.inner_text("#list small")
    page.select_option("#model", "dark-lines")
    assert page.locator("#flags").is_hidden()


def test_keys_zoom_and_move_and_turn_pages(opened: Any, pictures: list[Path]) -> None:
    page = opened.page
    _choose(page, *pictures)
    assert page.locator("#list button").count() == 3
    whole = _canvas(page)
    page.focus("#stage")
    for key in ("+", "+", "+", "+", "ArrowRight", "ArrowDown", "-", "0"):
        before = _canvas(page)
        page.keyboard.press(key)
        assert _changed(before, _canvas(page)) > 0.01, key
    assert _changed(whole, _canvas(page)) == 0
    page.mouse.move(*_middle(page))
    page.mouse.wheel(0, -600)
    zoomed = _canvas(page)
    assert _changed(whole, zoomed) > 0.01
    page.mouse.down()
    page.mouse.move(_middle(page)[0] + 60, _middle(page)[1] + 40)
    page.mouse.up()
    assert _changed(zoomed, _canvas(page)) > 0.01
    page.keyboard.press("n")
    assert pictures[1].name in page.inner_text('#list [aria-current="true"]')
    page.keyboard.press("n")  # the TIFF, which the service makes a picture of
    page.wait_for_function("name => document.getElementById('status').textContent.includes(name)", arg=pictures[2].name)
    assert len(np.unique(_canvas(page))) > 50
    page.keyboard.press("p")
    page.keyboard.press("]")
    assert page.input_value("#threshold") == "121"
    assert page.evaluate("document.activeElement.id") == "stage"


def _middle(page: Any) -> tuple[float, float]:
    box = page.locator("#stage").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_wrong_file_is_a_line_in_the_list(
    open_page: Open, address: str, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.png").write_text("no image")
    watched = open_page(address)
    _choose(watched.page, tmp_path / "notes.png", pictures[0])
    rows = watched.page.locator("#list small").all_inner_texts()
    assert rows[0].startswith("image: is not an image; give PNG")
    assert rows[1].startswith("vessel")
    assert "is not an image" in watched.page.inner_text("#status")
    # The browser itself notes the answer of 415.
    assert [line for line in watched.complaints if "415" not in line] == []


def test_two_fingers_zoom_on_a_phone(open_page: Open, address: str, pictures: list[Path]) -> None:
    watched = open_page(address, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = watched.page
    _choose(page, pictures[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#stage").scroll_into_view_if_needed()
    before = _canvas(page)
    x, y = _middle(page)
    session = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100)):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert _changed(before, _canvas(page)) > 0.01
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
    _choose(watched.page, *pictures)
    _slide(watched.page, 104)
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
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('token').value === ''")
        page.fill("#token", "a-token-that-is-long")
        page.keyboard.press("Enter")
        _choose(page, pictures[0])
        page.wait_for_selector("#token-dialog", state="hidden")
        assert [line for line in watched.complaints if "401" not in line] == []


@pytest.mark.skipif(not CHASE.is_dir(), reason="the shared CHASE_DB1 images are not here")
def test_a_chase_photograph(opened: Any, bundles: list[Path], tmp_path: Path) -> None:
    path = sorted(CHASE.iterdir())[0]
    page = opened.page
    _choose(page, path)
    ocuseg.predict(bundles[0], path, out=tmp_path)
    written = tmp_path / f"{path.stem}.png"
    assert _saved(page, "#save-mask", tmp_path).read_bytes() == written.read_bytes()
    before, density = _pixels(page), _text(page, "vessel_density")
    assert before == int((_mask(written) == 1).sum()) > 10_000
    _slide(page, 130)
    assert 0 < _pixels(page) < before
    assert float(_text(page, "vessel_density")) < float(density)
