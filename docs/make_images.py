"""Draw the pictures of the documentation, from drawn images of the eye alone.

    python docs/make_images.py MODEL

MODEL is a run folder or a bundle that was trained on drawn images, such as the run of `make demo`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import ocuseg
from ocuseg.phantom import draw_fundus

_SEED = 4_000_000_003  # beyond the seeds of any set that the package draws
_SIZE_PX = 480
_SHOWN_PX = 380
_GAP_PX = 10
_TITLE_PX = 30
_COLOURS = 256  # of the palette: noise would make a PNG of full colours four times as large


def main() -> None:
    """Write `overview.png` beside this file's other pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run folder or a bundle, trained on drawn images")
    model = parser.parse_args().model
    folder = Path(__file__).with_name("images")
    folder.mkdir(exist_ok=True)
    path = folder / "overview.png"
    # Each of the three colours of agreement has its place in the palette: the rare one would be averaged away.
    _with_palette(draw_overview(model)).save(path, optimize=True)
    print(f"wrote {path}")


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
