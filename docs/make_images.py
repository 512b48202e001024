"""Draw the pictures of the documentation, from drawn images of the eye alone.

    python docs/make_images.py MODEL           overview.png
    python docs/make_images.py vessels --page  page.png: what `ocuseg serve` shows, by Playwright and Chromium

MODEL is a run folder or a bundle that was trained on drawn images, such as the run of `make demo`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import ocuseg
from ocuseg.images import write_image
from ocuseg.phantom import draw_fundus

_SEED = 4_000_000_003  # beyond the seeds of any set that the package draws
_SIZE_PX = 480
_SHOWN_PX = 380
_PAGE_EYE_PX, _PAGE_PX = 900, {"width": 1240, "height": 820}
_GAP_PX = 10
_TITLE_PX = 30
_COLOURS = 256  # of the palette: noise would make a PNG of full colours four times as large


def main() -> None:
    """Write `overview.png` or `page.png` beside this file's other pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run folder or a bundle, trained on drawn images")
    parser.add_argument("--page", action="store_true", help="the page of the service, with this model")
    options = parser.parse_args()
    model = options.model
    folder = Path(__file__).with_name("images")
    folder.mkdir(exist_ok=True)
    path = folder / ("page.png" if options.page else "overview.png")
    if options.page:
        _with_palette(photograph_page(model)).save(path, optimize=True)
        print(f"wrote {path}")
        return
    # Each of the three colours of agreement has its place in the palette: the rare one would be averaged away.
    _with_palette(draw_overview(model)).save(path, optimize=True)
    print(f"wrote {path}")


def photograph_page(model: str) -> Image.Image:
    """Return what the page of `ocuseg serve MODEL` shows of a drawn image."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "ocuseg", "serve", model, "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service,
        sync_playwright() as playwright,
    ):
        try:
            assert service.stdout is not None
            address = next(found[0] for line in service.stdout if (found := re.search(r"http://[\w.:]+/", line)))
            eye = write_image(Path(folder) / "drawn_eye.png", draw_fundus(_SEED, _PAGE_EYE_PX).image)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=_PAGE_PX)
            page.goto(address)
            page.wait_for_function("() => !document.getElementById('files').disabled")
            page.set_input_files("#files", [str(eye)])
            page.wait_for_function("() => /[0-9]/.test(document.querySelector('[data-name=\"pixels-1\"]').textContent)")
            page.wait_for_timeout(500)  # until the mask is drawn
            shown = Path(folder) / "page.png"
            page.screenshot(path=shown)
            browser.close()
            return Image.open(shown).convert("RGB")
        finally:
            service.terminate()


def draw_overview(model: str) -> Image.Image:
    """Return one picture of an image, its reference and the prediction's agreement with it, side by side."""
    drawn = draw_fundus(_SEED, _SIZE_PX)
    result = ocuseg.load(model)(drawn.image)
    reference = np.where(drawn.mask > 0, 255, 0).astype(np.uint8)
    panels = {
        "drawn image": drawn.image,
        "its exact vessels": np.repeat(reference[..., None], 3, axis=2),
        "prediction: agreed, missed, extra": result.overlay(drawn.mask, region=drawn.field_of_view),
    }
    picture = Image.new("RGB", (len(panels) * (_SHOWN_PX + _GAP_PX) - _GAP_PX, _SHOWN_PX + _TITLE_PX), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for position, (title, panel) in enumerate(panels.items()):
        left = position * (_SHOWN_PX + _GAP_PX)
        picture.paste(_reduced(panel), (left, _TITLE_PX))
        pen.text((left, 4), title, font=font, fill=(30, 30, 30))
    return picture


def _with_palette(picture: Image.Image) -> Image.Image:
    kept = [(255, 255, 255), (0, 130, 255), (255, 200, 0)]  # agreed, missed, extra
    found = picture.quantize(_COLOURS - len(kept), dither=Image.Dither.NONE).getpalette() or []
    table = Image.new("P", (1, 1))
    table.putpalette([*found[: 3 * (_COLOURS - len(kept))], *(value for colour in kept for value in colour)])
    return picture.quantize(palette=table, dither=Image.Dither.NONE)


def _reduced(panel: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(panel).resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
