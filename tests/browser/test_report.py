"""The report and the page of a comparison in a real browser: sort, filter, slide; light, dark, on a phone, on paper."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import ocuseg
from contracts.evaluations import LENS, drawn_records, written_evaluation

NAMES = ["eye 2", "eye 10", "eye 1", "<img src=x onerror=alert(1)>", 'it\'s "quoted"']

RIM = 8  # pixels left off at each side of a screenshot: a rounded corner is not smoothed alike each time

Open = Callable[..., Any]
Pixels = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The addresses of a report of two classes, of one of several, and of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    records = drawn_records(folder / "data", NAMES)
    first = written_evaluation(records, folder / "first")
    second = written_evaluation(records, folder / "second", threshold=0.9, model="other")
    many = written_evaluation(drawn_records(folder / "lens", NAMES, 3), folder / "many", LENS)
    ocuseg.compare(first, second, out=folder / "compared")
    folders = {"report": first, "many": many, "comparison": folder / "compared"}
    return {name: (one / "report.html").as_uri() for name, one in folders.items()}


def column(page: Any, number: int) -> list[str]:
    cells = page.locator(f".sortable tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()
    return [text.strip() for text in cells]


def line_at(page: Any, figure: int = 0) -> float:
    """Where the line of a figure lies, from 0 at its left to 1 at its right, as it is drawn."""
    stack, divider = (page.locator(name).nth(figure).bounding_box() for name in (".stack", ".divider"))
    return float((divider["x"] + divider["width"] / 2 - stack["x"]) / stack["width"])


def differing(one: Pixels, other: Pixels) -> float:
    """The share of pixels that differ by more than what smoothing may change, from 0 to 1."""
    assert one.shape == other.shape
    return float((np.abs(one - other).max(axis=2) > 2).mean())


@pytest.mark.parametrize("name", ["report", "many", "comparison"])
@pytest.mark.parametrize(
    "words",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    ],
    ids=["light", "dark", "phone"],
)
def test_it_is_whole_quiet_and_accessible(open_page: Open, pages: dict[str, str], name: str, words: Any) -> None:
    watched = open_page(pages[name], **words)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) / 3
    assert (brightness < 60) if words.get("color_scheme") == "dark" else (brightness > 230)
    assert watched.serious_violations() == []
    assert watched.complaints == []
    assert watched.foreign == []


def test_every_picture_is_one_that_the_browser_can_show(open_page: Open, pages: dict[str, str]) -> None:
    for address in pages.values():
        page = open_page(address).page
        sizes = page.evaluate(
            """async () => {
              const found = [];
              for (const stack of document.querySelectorAll(".stack"))
                for (const one of stack.getAttribute("style").matchAll(/url\\((.*?)\\)/g)) {
                  const picture = new Image();
                  picture.src = one[1];
                  await picture.decode();
                  found.push([picture.naturalWidth, picture.naturalHeight]);
                }
              return found;
            }"""
        )
        assert len(sizes) >= 4 * len(NAMES)
        assert set(map(tuple, sizes)) == {(160, 120)}


def test_a_heading_sorts_by_mouse_and_by_keyboard(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["report"]).page
    headings = page.locator(".sortable thead th")
    dice = page.get_by_role("columnheader", name="Dice", exact=True)
    number = 1 + headings.all_inner_texts().index("Dice")
    assert dice.get_attribute("aria-sort") == "ascending"
    worst_first = column(page, number)
    assert worst_first == sorted(worst_first, key=float)
    page.get_by_role("button", name="Dice", exact=True).click()
    assert dice.get_attribute("aria-sort") == "descending"
    assert column(page, number) == worst_first[::-1]
    page.get_by_role("button", name="image", exact=True).focus()
    page.keyboard.press("Enter")
    assert dice.get_attribute("aria-sort") is None
    assert headings.first.get_attribute("aria-sort") == "ascending"
    names = column(page, 1)
    assert [name for name in names if name.startswith("eye")] == ["eye 1", "eye 2", "eye 10"]
    page.keyboard.press("Space")
    assert column(page, 1) == names[::-1]


def test_the_filter_holds_for_rows_and_pictures(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["many"]).page
    figures = page.locator(".eye:visible")
    assert figures.count() == len(NAMES)
    page.get_by_label("Name contains").fill("EYE 1")
    assert set(column(page, 1)) == {"eye 1", "eye 10"}
    assert figures.count() == 2
    page.get_by_role("combobox", name="Class").select_option("lens")
    assert set(column(page, 3)) == {"lens"}
    assert page.locator("output").inner_text() == "2 of 10 rows"
    page.get_by_label("Name contains").fill("")
    values = sorted(map(float, column(page, 4)))
    page.get_by_label("Dice below").fill(str((values[1] + values[2]) / 2))
    assert sorted(map(float, column(page, 4))) == values[:2]
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("() => document.querySelector('output').textContent === '10 rows'")
    assert figures.count() == len(NAMES)


def test_the_line_moves_by_mouse_and_by_keyboard(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["report"]).page
    stack = page.locator(".stack").first
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    assert line_at(page) == pytest.approx(0.5, abs=0.01)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=4)
    page.mouse.up()
    assert line_at(page) == pytest.approx(0.2, abs=0.02)
    assert line_at(page, 1) == pytest.approx(0.5, abs=0.01)
    slider = page.get_by_role("slider").first
    before = int(slider.input_value())
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == f"line at {before + 2} percent from the left"
    slider.press("End")
    assert line_at(page) == pytest.approx(1, abs=0.01)


def test_what_lies_beside_the_line_can_be_chosen_and_is_what_is_seen(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["report"]).page
    first = page.locator(".stack").first

    def seen() -> Pixels:
        first.scroll_into_view_if_needed()
        with Image.open(BytesIO(first.screenshot())) as shot:
            return np.asarray(shot.convert("RGB"))[RIM:-RIM, RIM:-RIM].astype(float)

    page.get_by_role("slider").first.press("Home")
    before = seen()
    page.get_by_label("Left of the line").select_option("reference")
    assert differing(seen(), before) == 0  # all of it lies right of the line
    page.get_by_label("Right of the line").select_option("reference")
    reference = seen()
    assert differing(reference, before) > 0.01
    assert first.get_by_role("img").count() == 1
    page.get_by_role("slider").first.press("End")
    page.get_by_label("Right of the line").select_option("picture")
    page.get_by_label("Left of the line").select_option("prediction")
    prediction = seen()
    assert differing(prediction, before) > 0.01
    assert differing(prediction, reference) > 0.01
    shown = [one.get_attribute("aria-label") for one in first.get_by_role("img").all()]
    assert sorted(shown) == sorted(f"{view} of {page.locator('.eye h3 span').first.inner_text()}"
                                   for view in ("picture", "prediction"))  # fmt: skip


def test_a_row_leads_to_its_picture(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["comparison"]).page
    link = page.locator(".sortable tbody a").last
    name = link.inner_text()
    link.click()
    target = page.locator(page.evaluate("location.hash"))
    assert target.get_attribute("data-name") == name
    assert target.locator("h3 span").inner_text() == name


def test_paper_gets_every_view_and_no_controls(open_page: Open, pages: dict[str, str]) -> None:
    page = open_page(pages["report"], color_scheme="dark").page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".eye").first.locator(".pane:visible").count() == 4
    assert page.locator(".controls:visible, .divider:visible, .slider:visible").count() == 0
    boxes = [one.bounding_box() for one in page.locator(".eye").first.locator(".pane").all()]
    assert len({round(box["y"]) for box in boxes}) == 1
    assert all(right["x"] >= left["x"] + left["width"] for left, right in pairwise(boxes))
    assert len(page.pdf()) > 20_000


def test_without_scripts_everything_is_still_there(browser: Any, pages: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["report"])
    assert page.locator(".eye:visible").count() == len(NAMES)
    assert page.locator(".eye").first.locator(".pane:visible").count() == 2
    assert page.locator(".sortable tbody tr:visible").count() == len(NAMES)
    context.close()
