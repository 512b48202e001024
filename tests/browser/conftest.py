"""A page of a real browser that reaches this machine alone; without Chromium these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocuseg.phantom import write_fundus_set
from servers import running
from tiny_bundles import served_bundles

Open = Callable[..., Any]

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost")


class Watched:
    """A page of the browser, what its console complained of, and what it asked of other hosts."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(_LOCAL) else self.foreign.append(sent.url))

    def serious_violations(self) -> list[str]:
        """What axe finds on the page as it is now, of serious impact or worse."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="Playwright is not installed")
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    """A function that opens an address; its words go to the browser's context: viewport, color_scheme, is_mobile."""
    contexts = []

    def opened(address: str, **words: Any) -> Watched:
        contexts.append(browser.new_context(accept_downloads=True, **words))
        watched = Watched(contexts[-1].new_page())
        watched.page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return served_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two drawn fundus photographs, and the second as a TIFF, which no browser shows."""
    data = write_fundus_set(tmp_path_factory.mktemp("drawn") / "set", {"train": 1, "test": 2}, seed=3, size=192)
    drawn = sorted((data / "test" / "images").iterdir())
    with Image.open(drawn[1]) as picture:
        picture.save(drawn[1].with_suffix(".tif"))
    return [*drawn, drawn[1].with_suffix(".tif")]


@pytest.fixture(scope="session")
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
