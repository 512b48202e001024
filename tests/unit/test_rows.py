"""Images that are read by rows from a file of plain pixels, against `read_image`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ocuseg.errors import ImageError
from ocuseg.images import HeldImage, open_rows, read_image
from ocuseg.images.plausibility import MAX_PIXELS

HEIGHT, WIDTH = 45, 70


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr("ocuseg.images.rows._HELD_PX", 0)


def colours(channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(channels)
    smooth = np.add.outer(np.arange(HEIGHT) * 3, np.arange(WIDTH))[..., None] + np.arange(channels) * 40
    return (smooth + rng.integers(0, 30, smooth.shape)).astype(np.uint8)


def drawn(mode: str) -> Image.Image:
    picture = Image.fromarray(colours())
    if mode == "RGBA":
        return Image.fromarray(colours(4))
    if mode == "CMYK":
        return Image.frombytes("CMYK", (WIDTH, HEIGHT), colours(4).tobytes())
    if mode == "LA":
        return Image.merge("LA", [picture.getchannel(0), picture.getchannel(1)])
    return picture.quantize(40) if mode == "P" else picture.convert(mode)


CASES = [
    *(("a.png", mode, {}) for mode in ("1", "L", "P", "LA", "RGB", "RGBA")),
    ("a.png", "P", {"transparency": bytes([0, 255, 128])}),
    *(("a.jpg", mode, {"quality": 90}) for mode in ("L", "RGB", "CMYK")),
    ("a.jpg", "RGB", {"progressive": True}),
    *(("a.tif", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK")),
    *(("a.tif", mode, {"compression": "tiff_lzw"}) for mode in ("L", "P", "RGB", "RGBA", "CMYK")),
    *(("a.tif", "RGB", {"compression": name}) for name in ("tiff_adobe_deflate", "packbits", "jpeg")),
    ("a.tif", "RGB", {"compression": "tiff_lzw", "tiffinfo": {317: 2, 278: 7}}),
    ("a.tif", "1", {"compression": "group4"}),
    ("a.bmp", "RGB", {}),
    ("a.ppm", "RGB", {}),
    ("a.ppm", "L", {}),
]  # fmt: skip


def assert_same(path: Path) -> None:
    whole = read_image(path)
    rows = open_rows(path)
    assert not isinstance(rows, HeldImage)
    assert rows.size == whole.shape[:2]
    for top, bottom in ((0, len(whole)), (0, 1), (5, 9), (len(whole) - 3, len(whole))):
        assert np.array_equal(rows.rows(top, bottom), whole[top:bottom])
    rows.close()


@pytest.mark.parametrize(("name", "mode", "options"), CASES)
def test_rows_are_those_of_the_whole_image(tmp_path, name, mode, options):
    drawn(mode).save(tmp_path / name, **options)
    assert_same(tmp_path / name)


@pytest.mark.parametrize("options", [
    {"tile": (16, 32)}, {"tile": (16, 32), "compression": "zlib"}, {"compression": "zlib", "rowsperstrip": 7},
    {"tile": (16, 16), "compression": "zlib", "predictor": True}, {"rowsperstrip": 4}, {"byteorder": ">"},
    {"byteorder": ">", "tile": (16, 16), "compression": "zlib"}, {"bigtiff": True, "compression": "zlib"},
    {"planarconfig": "separate"},
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_and_strips_of_a_tiff(tmp_path, options, channels):
    image = colours(channels) if channels > 1 else colours(1)[..., 0]
    if channels == 1 and "planarconfig" in options:
        pytest.skip("has one plane")
    if "planarconfig" in options:
        image = image.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb" if channels == 3 else "minisblack", **options)
    assert_same(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_turned_image_is_upright(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn("RGB").save(tmp_path / name, exif=exif)
    assert_same(tmp_path / name)


@pytest.mark.parametrize("alpha", [0, 7, 255])
def test_alpha_counts_unless_it_is_nothing_all_over(tmp_path, alpha):
    image = colours(4)
    image[..., 3] = alpha
    Image.fromarray(image).save(tmp_path / "a.png")
    assert_same(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "says"),
    [("a.webp", "the format WebP"), ("a.gif", "the format GIF"), ("deep.png", "16 bits"),
     ("turned.tif", "an orientation"),
     ("progressive.jpg", "progressive JPEG"), ("apart.tif", "stored apart"), ("key.png", "transparent colour"),
     ("strip.tif", "compressed parts of 70 x 45")],
)  # fmt: skip
def test_what_cannot_be_read_by_rows_is_held_or_refused(tmp_path, name, says, monkeypatch):
    path = tmp_path / name
    monkeypatch.setattr("ocuseg.images.scratch._MOST_COEFFICIENT_BYTES", 1)
    monkeypatch.setattr("ocuseg.images.segments._LARGEST_PX", 7 * WIDTH)
    if name == "deep.png":
        Image.fromarray(colours(1)[..., 0].astype(np.uint16) * 257).save(path)
    elif name == "turned.tif":
        drawn("RGB").save(path, tiffinfo={0x0112: 6})
    elif name == "apart.tif":
        planes = colours().transpose(2, 0, 1)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", compression="zlib")
    elif name == "key.png":
        drawn("RGB").save(path, transparency=(1, 2, 3))
    elif name == "strip.tif":
        drawn("RGB").save(path, compression="tiff_lzw", tiffinfo={278: HEIGHT})
    else:
        drawn("RGB").save(path, **({"progressive": True} if "progressive" in name else {}))
    rows = open_rows(path)
    assert isinstance(rows, HeldImage)
    assert np.array_equal(rows.pixels, read_image(path))
    monkeypatch.setattr("ocuseg.images.rows.MAX_PIXELS", 100)
    with pytest.raises(ImageError, match=rf"{name}: has .* pixels and .*{says}.*; save it as"):
        open_rows(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "lzw.tif"])
def test_a_truncated_file_is_an_error_and_leaves_nothing(tmp_path, name):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / name
    drawn("RGB").save(path, **({"compression": "tiff_lzw", "tiffinfo": {278: 5}} if name == "lzw.tif" else {}))
    whole = path.read_bytes()
    for kept in (len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:kept])
        with pytest.raises(ImageError, match=rf"{name}: .*; "):
            open_rows(path, scratch)
    assert list(scratch.iterdir()) == []


def test_a_damaged_part_of_a_tiff_is_an_error(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours(), photometric="rgb", compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif: is a truncated or damaged TIFF"):
        open_rows(path)


def test_too_little_disk_is_an_error_of_one_line(tmp_path, monkeypatch):
    drawn("RGB").save(tmp_path / "a.png")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(ImageError, match=r"a\.png: needs 0\.0 GB of disk .*; free space"):
        open_rows(tmp_path / "a.png")


def test_the_limit_of_what_is_read_by_rows(tmp_path, monkeypatch):
    drawn("RGB").save(tmp_path / "a.png")
    monkeypatch.setattr("ocuseg.images.rows.MAX_PIXELS_BY_ROWS", 3000)
    with pytest.raises(ImageError, match=r"claims 70 x 45 pixels, more than 0\.003 million"):
        open_rows(tmp_path / "a.png")
    assert MAX_PIXELS == 150_000_000


MEMORY = """
import resource, sys
from ocuseg.images import open_rows
import ocuseg.images.rows
from PIL import PngImagePlugin, JpegImagePlugin, TiffImagePlugin, Image
ocuseg.images.rows._HELD_PX = 0
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
rows = open_rows(sys.argv[1])
assert rows.size == (3000, 4000), rows.size
for top in range(0, 3000, 500): rows.rows(top, top + 500)
print((peak() - before) // (1 if sys.platform != "darwin" else 1024))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is measured on Linux")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "lzw.tif", "a.tif"])
def test_the_peak_memory_of_a_large_image(tmp_path, name):
    Image.fromarray(np.tile(colours(), (3000 // HEIGHT + 1, 4000 // WIDTH + 1, 1))[:3000, :4000]).save(
        tmp_path / name, **({"lzw.tif": {"compression": "tiff_lzw"}, "a.png": {"compress_level": 1}}.get(name, {}))
    )
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / name)], capture_output=True, text=True, check=True, timeout=300
    )
    # Whole it is 36 MB of colours, and Pillow takes 48 MB beside it.
    assert int(done.stdout) < 30_000, done.stdout
