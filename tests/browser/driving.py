"""What the tests do to the page of the service, and what they read from it."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def choose(page: Any, *paths: Path) -> None:
    page.wait_for_function("() => !document.getElementById('files').disabled")  # the models are known
    page.set_input_files("#files", [str(path) for path in paths])
    page.wait_for_function(
        "count => { const rows = [...document.querySelectorAll('#list small')];"
        " return rows.length >= count && rows.every(row => !row.textContent.includes('waiting')); }",
        arg=len(paths),
    )


def drop(page: Any, path: Path) -> None:
    """Drop a file on the page, as from a window beside it."""
    page.wait_for_function("() => !document.getElementById('files').disabled")
    content = base64.b64encode(path.read_bytes()).decode()
    transfer = page.evaluate_handle(
        "async ([content, name]) => { const t = new DataTransfer();"
        " const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));"
        " t.items.add(new File([bytes], name)); return t; }",
        [content, path.name],
    )
    for kind in ("dragover", "drop"):
        page.dispatch_event("#drop", kind, {"dataTransfer": transfer})


def text_of(page: Any, name: str) -> str:
    return str(page.locator(f'[data-name="{name}"]').inner_text())


def pixels_of(page: Any, name: str = "pixels-1") -> int:
    return int(text_of(page, name).replace(",", ""))


def slide(page: Any, value: int) -> None:
    page.locator("#threshold").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


def shown_on(page: Any) -> np.ndarray:
    """The pixels that are shown; what was asked for has been drawn after two frames."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    address = page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
    with Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """The share of what is shown that is another colour."""
    return float((before != after).any(axis=2).mean())


def download(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def mask_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def middle(page: Any) -> tuple[float, float]:
    box = page.locator("#stage").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
