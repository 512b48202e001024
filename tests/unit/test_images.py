from __future__ import annotations

import io
import struct
import time
import tracemalloc
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ocuseg.classes import default_classes, parse_classes
from ocuseg.encoding import count_values
from ocuseg.errors import ImageError, OutputError, UsageError
from ocuseg.images import (
    ImageHeader,
    read_field_of_view,
    read_header,
    read_image,
    read_mask,
    write_image,
    write_mask,
    write_probability,
)

RNG = np.random.default_rng(7)
COLOUR = np.kron(RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8), np.ones((2, 2, 1), dtype=np.uint8))
GREY = COLOUR[..., 0]
THREE_TIMES = np.stack([GREY] * 3, axis=2)
SIXTEEN = GREY.astype(np.uint16) * 257
MASK = np.array([[0, 0, 1], [2, 3, 3]], dtype=np.uint8)


def png_of(grey_and_alpha: np.ndarray) -> bytes:
    """A PNG of 16-bit grey with alpha (H, W, 2), which Pillow does not write."""
    height, width = grey_and_alpha.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey_and_alpha)
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND")
    parts = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of the given raw rows (each with its filter byte), as no library writes it."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.png", {}),
            ("a.PNG", {}),
            ("a.tif", {}),
            ("a.tif", {"compression": "tiff_lzw"}),
            ("a.tif", {"compression": "tiff_adobe_deflate"}),
            ("a.tif", {"compression": "packbits"}),
            ("a.bmp", {}),
            ("a.ppm", {}),
            ("a.webp", {"lossless": True}),
        ],
    )
    def test_lossless_colour_is_read_exactly(self, tmp_path, name, options):
        path = save(tmp_path / name, COLOUR, **options)
        image = read_image(path)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, COLOUR)
        assert read_header(path).size == COLOUR.shape[:2]

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.pgm", "a.gif"])
    def test_lossless_grey_is_read_exactly(self, tmp_path, name):
        np.testing.assert_array_equal(read_image(save(tmp_path / name, GREY)), THREE_TIMES)

    def test_jpeg(self, tmp_path):
        smooth = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 48, 3))
        difference = read_image(save(tmp_path / "a.jpg", smooth, quality=95)).astype(int) - smooth
        assert np.abs(difference).max() <= 4

    def test_the_content_and_not_the_name_decides(self, tmp_path):
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(Image.fromarray(COLOUR), "PNG"))
        np.testing.assert_array_equal(read_image(path), COLOUR)
        assert read_header(path).format == "PNG"

    def test_palette(self, tmp_path):
        picture = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
        picture.putpalette([10, 20, 30, 255, 0, 0, 0, 0, 255])
        for name in ("a.png", "a.tif", "a.bmp", "a.gif"):
            picture.save(tmp_path / name)
            assert read_image(tmp_path / name).tolist() == [[[10, 20, 30], [255, 0, 0], [0, 0, 255]]]

    def test_one_bit(self, tmp_path):
        picture = Image.fromarray(np.array([[0, 255, 0]], dtype=np.uint8)).convert("1")
        for name in ("a.png", "a.tif", "a.bmp", "a.pbm"):
            picture.save(tmp_path / name)
            assert read_image(tmp_path / name)[..., 0].tolist() == [[0, 255, 0]]
            assert read_header(tmp_path / name).bits == 1

    def test_cmyk(self, tmp_path):
        cmyk = np.zeros((1, 2, 4), dtype=np.uint8)
        cmyk[0, 0] = 0, 255, 255, 0
        Image.frombytes("CMYK", (2, 1), cmyk.tobytes()).save(tmp_path / "a.tif")
        assert read_image(tmp_path / "a.tif").tolist() == [[[255, 0, 0], [255, 255, 255]]]
        Image.frombytes("CMYK", (2, 1), cmyk.tobytes()).resize((16, 16), 0).save(tmp_path / "a.jpg", quality=100)
        np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[8, [2, 13]], [[255, 0, 0], [255] * 3], atol=6)

    def test_one_pixel(self, tmp_path):
        for name in ("a.png", "a.tif", "a.bmp", "a.webp", "a.ppm"):
            path = save(tmp_path / name, np.full((1, 1, 3), 9, dtype=np.uint8))
            assert read_image(path).shape == (1, 1, 3)


class TestAlpha:
    def test_transparent_is_black_and_half_is_half(self, tmp_path):
        rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], dtype=np.uint8)
        for name, options in (("a.png", {}), ("a.tif", {}), ("a.webp", {"lossless": True, "exact": True})):
            image = read_image(save(tmp_path / name, rgba, **options))
            assert image.tolist() == [[[200, 100, 50], [0, 0, 0], [100, 50, 25]]]

    def test_a_picture_that_is_transparent_all_over_keeps_its_colours(self, tmp_path):
        rgba = np.dstack([COLOUR, np.zeros(GREY.shape, dtype=np.uint8)])
        np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)), COLOUR)

    def test_grey_with_alpha(self, tmp_path):
        path = save(tmp_path / "a.png", np.array([[[9, 255], [9, 0]]], dtype=np.uint8))
        assert read_header(path).mode == "LA"
        assert read_image(path)[..., 0].tolist() == [[9, 0]]

    def test_a_palette_with_transparency(self, tmp_path):
        picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
        picture.putpalette([10, 20, 30, 255, 0, 0])
        picture.save(tmp_path / "a.png", transparency=bytes([0, 255]))
        assert read_image(tmp_path / "a.png").tolist() == [[[0, 0, 0], [255, 0, 0]]]


class TestSixteenBits:
    @pytest.mark.parametrize(
        ("name", "options"), [("a.png", {}), ("a.tif", {}), ("a.tif", {"compression": "tiff_lzw"})]
    )
    def test_grey_by_the_full_range(self, tmp_path, name, options):
        path = save(tmp_path / name, np.array([[0, 257, 32768, 65535]], dtype=np.uint16), **options)
        assert read_image(path)[..., 0].tolist() == [[0, 1, 128, 255]]
        assert read_header(path).bits == 16

    def test_grey_pgm(self, tmp_path):
        (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n65535\n" + np.array([257, 65535], dtype=">u2").tobytes())
        assert read_image(tmp_path / "a.pgm")[..., 0].tolist() == [[1, 255]]
        assert read_header(tmp_path / "a.pgm").bits == 16

    @pytest.mark.parametrize(("brightest", "bits"), [(200, 8), (1000, 10), (4095, 12), (16000, 14), (16400, 16)])
    def test_fewer_bits_in_sixteen(self, tmp_path, brightest, bits):
        path = save(tmp_path / "a.png", np.array([[0, brightest]], dtype=np.uint16))
        assert read_image(path)[0, 1, 0] == round(brightest * 255 / (2**bits - 1))

    @pytest.mark.parametrize("big_endian", [False, True])
    def test_colour_tiff(self, tmp_path, big_endian):
        deep = COLOUR.astype(np.uint16) * 257
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", byteorder=">" if big_endian else "<")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLOUR)

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("big_endian", [False, True])
    def test_twelve_bit_colour_tiff_keeps_its_depth(self, tmp_path, big_endian, compression):
        deep = COLOUR.astype(np.uint16) * 16 + 15
        order = ">" if big_endian else "<"
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", byteorder=order, compression=compression)
        difference = read_image(tmp_path / "a.tif").astype(int) - COLOUR
        assert np.abs(difference).max() <= 1

    def test_colour_tiff_with_channels_apart_which_pillow_misreads(self, tmp_path):
        deep = np.moveaxis(COLOUR.astype(np.uint16) * 257, 2, 0)
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLOUR)
        header = read_header(tmp_path / "a.tif")
        assert (header.size, header.bits, header.format) == (COLOUR.shape[:2], 16, "TIFF")

    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_grey_with_alpha(self, tmp_path, bits):
        levels = (GREY.astype(np.uint16) * 16 + 15) if bits == 12 else SIXTEEN if bits == 16 else GREY.astype(np.uint16)
        alpha = np.full_like(levels, 65535)
        alpha[:2] = 0
        (tmp_path / "a.png").write_bytes(png_of(np.stack([levels, alpha], axis=2)))
        pixels = read_image(tmp_path / "a.png").astype(int)
        assert not pixels[:2].any()
        assert np.abs(pixels[2:] - GREY[2:, :, np.newaxis]).max() <= 1

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_tiff_in_which_0_is_white(self, tmp_path, dtype):
        levels = GREY if dtype is np.uint8 else SIXTEEN
        tifffile.imwrite(tmp_path / "a.tif", ~levels, photometric="miniswhite")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), THREE_TIMES)
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif").values, levels)

    def test_signed_tiff_is_refused(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.int8))
        with pytest.raises(ImageError, match=r"a\.tif: is a TIFF of int8 values; save it with 8 or 16 bits"):
            read_image(tmp_path / "a.tif")

    def test_dark_colours_of_sixteen_bits_in_ppm_are_refused(self, tmp_path):
        content = (COLOUR.astype(">u2") * 16).astype(">u2").tobytes()
        (tmp_path / "a.ppm").write_bytes(b"P6\n%d %d\n65535\n" % (COLOUR.shape[1], COLOUR.shape[0]) + content)
        with pytest.raises(ImageError, match=r"a\.ppm: is a PPM of 16 bits, the lower half in use; save it as PNG"):
            read_image(tmp_path / "a.ppm")

    def test_whatever_a_library_raises_names_the_file(self, tmp_path):
        path = save(tmp_path / "a.png", GREY % 4)
        with Image.open(path) as picture:
            picture.convert("P").save(path, transparency=bytes(256))
        content = path.read_bytes()
        start = content.index(b"tRNS") - 4
        end = start + 12 + struct.unpack(">I", content[start : start + 4])[0]
        long = b"tRNS" + bytes(400)
        longer = struct.pack(">I", 400) + long + struct.pack(">I", zlib.crc32(long))
        path.write_bytes(content[:start] + longer + content[end:])
        for read in (read_image, read_mask):
            with pytest.raises(ImageError, match=r"a\.png: is a truncated or damaged PNG \("):
                read(path)

    @pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed, which reads it")
    def test_a_compression_that_needs_another_package_is_no_damage(self, tmp_path):
        deep = np.moveaxis(COLOUR.astype(np.uint16) * 257, 2, 0)
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate")
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
            tiff.pages[0].tags["Compression"].overwrite(5)  # LZW
        with pytest.raises(ImageError, match=r"a compression that is not read with them; .* pip install imagecodecs"):
            read_image(tmp_path / "a.tif")

    def test_a_tiff_of_a_thousand_channels_in_one_strip_is_refused_before_it_is_decoded(self, tmp_path):
        deep = np.zeros((3, 200, 200), np.uint16)
        tifffile.imwrite(
            tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate", compression="zlib", rowsperstrip=200
        )
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
            tags = tiff.pages[0].tags
            offset, length = tags["StripOffsets"].value[0], tags["StripByteCounts"].value[0]
            for name, value in (("StripOffsets", offset), ("StripByteCounts", length), ("BitsPerSample", 16)):
                tags[name].overwrite([value] * 1000)
            tags["SamplesPerPixel"].overwrite(1000)
        with pytest.raises(ImageError, match="is a TIFF of 1000 channels; save it with 1 to 4"):
            read_image(tmp_path / "a.tif")

    def test_eight_bit_tiff_with_channels_apart(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(COLOUR, 2, 0), photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), COLOUR)

    @pytest.mark.parametrize("shift", [0, 4])
    def test_colour_png(self, tmp_path, shift):
        """12 bits in 16 must not become black (Pillow keeps the high bytes only)."""
        deep = (COLOUR.astype(np.uint16) * 257) >> shift
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
        (tmp_path / "a.png").write_bytes(png(COLOUR.shape[1], COLOUR.shape[0], 16, 2, rows))
        assert np.abs(read_image(tmp_path / "a.png").astype(int) - COLOUR).max() <= 1

    def test_values_beyond_sixteen_bits_and_fractions(self, tmp_path):
        save(tmp_path / "int.tif", np.array([[0, 70000]], dtype=np.int32))
        save(tmp_path / "float.tif", np.array([[0.0, 0.5]], dtype=np.float32))
        with pytest.raises(ImageError, match=r"int\.tif: holds values from 0 to 70000"):
            read_image(tmp_path / "int.tif")
        for read in (read_image, read_mask):
            with pytest.raises(ImageError, match=r"float\.tif: holds fractions"):
                read(tmp_path / "float.tif")


class TestOrientation:
    UPRIGHT = np.kron(np.array([[10, 90, 170], [50, 130, 250]], dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    STORED = {  # noqa: RUF012
        1: UPRIGHT,
        2: UPRIGHT[:, ::-1],
        3: UPRIGHT[::-1, ::-1],
        4: UPRIGHT[::-1],
        5: UPRIGHT.T,
        6: UPRIGHT.T[::-1],
        7: UPRIGHT[::-1, ::-1].T,
        8: UPRIGHT.T[:, ::-1],
    }

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
    def test_image_mask_and_header_are_upright(self, tmp_path, name, orientation):
        tags = Image.Exif()
        tags[0x0112] = orientation
        options = {"a.jpg": {"quality": 100}, "a.webp": {"lossless": True}}.get(name, {})
        path = save(tmp_path / name, np.ascontiguousarray(self.STORED[orientation]), exif=tags, **options)
        np.testing.assert_allclose(read_image(path)[..., 0], self.UPRIGHT, atol=3)
        np.testing.assert_allclose(read_mask(path).values, self.UPRIGHT, atol=3)
        header = read_header(path)
        assert header.size == self.UPRIGHT.shape
        assert header.orientation == orientation

    def test_png_with_its_exif_behind_the_pixels(self, tmp_path):
        tags = Image.Exif()
        tags[0x0112] = 6
        whole = png(2, 1, 8, 0, b"\0\x01\x02")
        late = chunk(b"eXIf", tags.tobytes().removeprefix(b"Exif\0\0")) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(whole.removesuffix(chunk(b"IEND", b"")) + late)
        assert read_header(tmp_path / "a.png").size == (2, 1)
        assert read_mask(tmp_path / "a.png").values.tolist() == [[1], [2]]

    @pytest.mark.parametrize("value", [0, 9, 77])
    def test_a_meaningless_orientation_turns_nothing(self, tmp_path, value):
        tags = Image.Exif()
        tags[0x0112] = value
        path = save(tmp_path / "a.jpg", self.UPRIGHT, exif=tags)
        assert read_header(path).orientation == 1
        assert read_image(path).shape[:2] == self.UPRIGHT.shape

    def test_broken_exif_is_no_reason_to_refuse_a_picture(self, tmp_path):
        path = save(tmp_path / "a.jpg", self.UPRIGHT, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert read_image(path).shape[:2] == self.UPRIGHT.shape


class TestFrames:
    @pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
    def test_the_first_of_several_is_read_and_their_number_told(self, tmp_path, name):
        frames = [Image.fromarray(np.full((8, 9), value, dtype=np.uint8)) for value in (0, 255, 128)]
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert read_header(tmp_path / name).frames == 3
        assert read_image(tmp_path / name).shape == (8, 9, 3)
        assert not read_image(tmp_path / name).any()

    def test_one_frame(self, tmp_path):
        path = save(tmp_path / "a.png", COLOUR)
        assert read_header(path) == ImageHeader(COLOUR.shape[:2], "RGB", 8, "PNG", 1, 1)


class TestMasks:
    @pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp", "m.pgm", "m.gif"])
    def test_ids_in_grey(self, tmp_path, name):
        raw = read_mask(save(tmp_path / name, MASK))
        assert (raw.kind, raw.size) == ("grey", (2, 3))
        np.testing.assert_array_equal(raw.values, MASK)

    @pytest.mark.parametrize("name", ["m.png", "m.tif"])
    def test_ids_in_sixteen_bits_are_not_scaled(self, tmp_path, name):
        raw = read_mask(save(tmp_path / name, MASK.astype(np.uint16) * 100))
        assert raw.kind == "grey"
        np.testing.assert_array_equal(raw.values, MASK.astype(int) * 100)

    @pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp"])
    def test_a_palette_gives_indices(self, tmp_path, name):
        picture = Image.fromarray(MASK)
        picture.putpalette([255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        picture.save(tmp_path / name)
        raw = read_mask(tmp_path / name)
        assert raw.kind == "palette"
        np.testing.assert_array_equal(raw.values, MASK)
        assert raw.palette[1].tolist() == [255, 0, 0]

    def test_a_black_and_white_gif_is_read_by_its_colours(self, tmp_path):
        """DRIVE publishes its masks so; the order of a GIF's palette is the encoder's, not a class table."""
        picture = Image.fromarray(np.array([[0, 1, 1]], dtype=np.uint8))
        for palette, expected in (([0, 0, 0, 255, 255, 255], [0, 255, 255]), ([255, 255, 255, 0, 0, 0], [255, 0, 0])):
            picture.putpalette(palette)
            picture.save(tmp_path / "m.gif", optimize=False)
            raw = read_mask(tmp_path / "m.gif")
            assert (raw.kind, raw.values.tolist()) == ("grey", [expected])

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_small_depths_are_not_stretched(self, tmp_path, bits):
        values = np.arange(4, dtype=np.uint8) % 2**bits
        packed = sum(int(v) << (8 * ((4 * bits + 7) // 8) - bits * (i + 1)) for i, v in enumerate(values))
        row = b"\0" + packed.to_bytes((4 * bits + 7) // 8, "big")
        (tmp_path / "m.png").write_bytes(png(4, 1, bits, 0, row))
        expected = values * 255 if bits == 1 else values
        assert read_mask(tmp_path / "m.png").values.tolist() == [expected.tolist()]

    @pytest.mark.parametrize(
        "content", [b"P5\n# three\n3 1\n3\n\x00\x01\x03", b"P2 3 1 3\n0 1 3\n", b"P2\n3 1\n1000\n0 1 3\n"]
    )
    def test_a_pgm_with_an_unusual_white_is_not_stretched(self, tmp_path, content):
        (tmp_path / "m.pgm").write_bytes(content)
        assert read_mask(tmp_path / "m.pgm").values.tolist() == [[0, 1, 3]]

    def test_three_equal_channels_are_grey(self, tmp_path):
        raw = read_mask(save(tmp_path / "m.png", np.stack([MASK] * 3, axis=2)))
        assert raw.kind == "grey"
        np.testing.assert_array_equal(raw.values, MASK)

    def test_colours(self, tmp_path):
        colours = np.array([[[255, 0, 0], [0, 0, 0]]], dtype=np.uint8)
        raw = read_mask(save(tmp_path / "m.png", colours))
        assert raw.kind == "colour"
        assert count_values(raw) == {(0, 0, 0): 1, (255, 0, 0): 1}

    def test_transparent_pixels_are_zero_and_opaque_ones_as_they_are(self, tmp_path):
        rgba = np.array([[[255, 255, 255, 0], [255, 255, 255, 255], [255, 255, 255, 90]]], dtype=np.uint8)
        assert read_mask(save(tmp_path / "m.png", rgba)).values.tolist() == [[0, 255, 255]]
        rgba[..., 3] = 0
        assert read_mask(save(tmp_path / "m.png", rgba)).values.tolist() == [[255, 255, 255]]

    def test_large_and_negative_values(self, tmp_path):
        raw = read_mask(save(tmp_path / "m.tif", np.array([[-1, 70000]], dtype=np.int32)))
        assert raw.values.tolist() == [[-1, 70000]]


class TestFieldOfView:
    @pytest.mark.parametrize("inside", [1, 255])
    def test_zero_is_outside(self, tmp_path, inside):
        path = save(tmp_path / "f.png", np.array([[0, inside]], dtype=np.uint8))
        assert read_field_of_view(path).tolist() == [[False, True]]

    def test_jpeg_ringing_does_not_count(self, tmp_path):
        disc = np.zeros((64, 64), dtype=np.uint8)
        disc[16:48, 16:48] = 255
        field_of_view = read_field_of_view(save(tmp_path / "f.jpg", disc, quality=60))
        assert field_of_view.dtype == bool
        assert (field_of_view != (disc > 0)).mean() < 0.01

    def test_an_inverted_palette_and_zeros(self, tmp_path):
        picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(tmp_path / "f.png")
        assert read_field_of_view(tmp_path / "f.png").tolist() == [[True, False]]
        assert not read_field_of_view(save(tmp_path / "z.png", np.zeros((4, 4), dtype=np.uint8))).any()


def whole_files() -> dict[str, bytes]:
    colour, grey = Image.fromarray(COLOUR), Image.fromarray(GREY)
    return {
        "png": encoded(colour, "PNG"),
        "png of 16 bits": encoded(Image.fromarray(SIXTEEN), "PNG"),
        "jpeg": encoded(colour, "JPEG"),
        "progressive jpeg": encoded(colour, "JPEG", progressive=True),
        "tiff": encoded(colour, "TIFF"),
        "tiff lzw": encoded(colour, "TIFF", compression="tiff_lzw"),
        "bmp": encoded(colour, "BMP"),
        "ppm": encoded(colour, "PPM"),
        "pgm": encoded(grey, "PPM"),
        "gif": encoded(colour.convert("P"), "GIF"),
        "webp": encoded(colour, "WEBP"),
        "lossless webp": encoded(colour, "WEBP", lossless=True),
    }


class TestBadFiles:
    @pytest.mark.parametrize("kind", whole_files())
    @pytest.mark.parametrize("read", [read_image, read_mask])
    def test_a_truncated_file_is_named_and_never_loaded_in_part(self, tmp_path, kind, read):
        whole = whole_files()[kind]
        path = tmp_path / "cut.img"
        for kept in (0, 1, 9, 40, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 12):
            path.write_bytes(whole[:kept])
            with pytest.raises(ImageError, match=r"cut\.img: .*; ") as caught:
                read(path)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("kind", ["png", "png of 16 bits"])
    def test_every_damaged_byte_of_a_png_is_noticed(self, tmp_path, kind):
        """Pillow does not compare the checksums of pixel data, and a mask would silently hold other classes."""
        whole = whole_files()[kind]
        path = tmp_path / "a.png"
        for position in range(8, len(whole), 7):
            damaged = bytearray(whole)
            damaged[position] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(ImageError, match=r"a\.png: "):
                read_image(path)

    def test_a_png_whose_pixels_end_early_though_all_checksums_are_right(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png(4, 100, 8, 0, b"\0\x01\x02\x03\x04" * 50))
        with pytest.raises(ImageError, match=r"truncated or damaged PNG \(its pixels end too early\)"):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (5, 5), (13, 9)])
    @pytest.mark.parametrize("bits", [1, 8, 16])
    def test_interlaced_png(self, tmp_path, width, height, bits):
        """Rows of the seven passes in order, counted by hand from the specification's picture."""
        order = "1646264677777777565656567777777736463646777777775656565677777777"
        rows = []
        for number in "1234567":
            for y in range(height):
                columns = [x for x in range(width) if order[y % 8 * 8 + x % 8] == number]
                if columns:
                    rows.append(b"\0" * (1 + (len(columns) * bits + 7) // 8))
        pixels = b"".join(rows)
        for content, whole in ((pixels, True), (pixels[:-1], False)):
            data = bytearray(png(width, height, bits, 0, content))
            data[28] = 1
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
            (tmp_path / "a.png").write_bytes(data)
            if whole:
                assert read_mask(tmp_path / "a.png").size == (height, width)
            else:
                with pytest.raises(ImageError, match="end too early"):
                    read_mask(tmp_path / "a.png")

    @pytest.mark.parametrize("content", [b"not an image", b"%PDF-1.7 ...", b"\x89PNG", b"RIFF1234WAVEfmt ", b"P7\n1 1"])
    def test_what_is_not_an_image(self, tmp_path, content):
        (tmp_path / "a.png").write_bytes(content)
        for read in (read_image, read_mask, read_header, read_field_of_view):
            with pytest.raises(ImageError, match=r"a\.png: is not an image; give PNG, JPEG"):
                read(tmp_path / "a.png")

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "a.png").touch()
        with pytest.raises(ImageError, match=r"a\.png: is empty \(0 bytes\)"):
            read_header(tmp_path / "a.png")

    def test_a_missing_file_and_a_folder(self, tmp_path):
        with pytest.raises(ImageError, match=r"no\.png: does not exist"):
            read_image(tmp_path / "no.png")
        with pytest.raises(ImageError, match="is a folder"):
            read_image(tmp_path)

    def test_a_file_without_permission(self, tmp_path, monkeypatch):
        path = save(tmp_path / "a.png", COLOUR)

        def refuse(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(ImageError, match=r"a\.png: cannot be opened \(permission denied\)"):
            read_image(path)

    def test_no_warning_of_pillow_escapes(self, tmp_path):
        whole = bytearray(encoded(Image.fromarray(COLOUR), "TIFF"))
        (tmp_path / "a.tif").write_bytes(bytes(whole[:-10]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ImageError):
                read_image(tmp_path / "a.tif")


def bomb(kind: str) -> bytes:
    if kind == "bmp":
        content = bytearray(encoded(Image.fromarray(GREY), "BMP"))
        content[18:26] = struct.pack("<ii", 9000, 9000)
        return bytes(content)
    if kind == "gif":
        content = bytearray(encoded(Image.fromarray(GREY), "GIF"))
        content[6:10] = struct.pack("<HH", 12000, 12000)
        return bytes(content)
    if kind == "jpeg":
        content = bytearray(encoded(Image.fromarray(GREY), "JPEG"))
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", 12000, 12000)
        return bytes(content)
    if kind == "tiff":
        content = encoded(Image.new("L", (9, 9)), "TIFF")
        for tag in (256, 257):
            content = content.replace(struct.pack("<HHII", tag, 4, 1, 9), struct.pack("<HHII", tag, 4, 1, 12000))
        return content
    if kind == "webp":
        return encoded(Image.new("L", (12_000, 6_000)), "WEBP", lossless=True)
    if kind == "png":
        return png(20_000, 20_000, 8, 2, b"\0")
    if kind == "png of one bit":
        return png(12_000, 12_000, 1, 0, b"\0")
    if kind == "png within the limit":
        return png(9_000, 9_000, 8, 2, b"\0" * 1000)
    if kind == "png that holds all it claims":
        return png(20_000, 20_000, 1, 0, b"\0" * (2501 * 20_000))
    return {"pgm": b"P5 12000 12000 255\n\0\0\0", "ppm": b"P6 30000 30000 255\n\0\0\0"}[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "png",
        "png of one bit",
        "png within the limit",
        "png that holds all it claims",
        "bmp",
        "gif",
        "jpeg",
        "tiff",
        "pgm",
        "ppm",
        "webp",
    ],
)
def test_a_decompression_bomb_is_refused_at_once_and_without_memory(tmp_path, kind):
    path = tmp_path / "bomb.img"
    path.write_bytes(bomb(kind))
    size = path.stat().st_size
    for read in (read_header, read_image, read_mask):
        tracemalloc.start()
        start = time.perf_counter()
        with pytest.raises(ImageError, match=rf"bomb\.img: claims .*{size} bytes"):
            read(path)
        assert time.perf_counter() - start < 10
        assert tracemalloc.get_traced_memory()[1] < 10 * size + 1_000_000
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 1}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "group4"}),
        ("GIF", {}),
        ("WEBP", {}),
        ("BMP", {}),
    ],
)
def test_an_empty_picture_compresses_well_and_is_no_bomb(tmp_path, kind, options):
    picture = Image.new("1", (3000, 2000)) if options.get("compression") == "group4" else Image.new("L", (3000, 2000))
    (tmp_path / "a").write_bytes(encoded(picture, kind, **options))
    assert read_mask(tmp_path / "a").size == (2000, 3000)


class TestWriting:
    def test_a_mask_can_be_seen_and_its_indices_are_the_ids(self, tmp_path):
        classes = parse_classes(
            [{"id": i, "name": f"c{i}", "colour": f"#{i:02x}80ff"} for i in range(4)]
            + [{"id": 255, "name": "ignore", "ignore": True}]
        )
        mask = MASK.copy()
        mask[0, 0] = 255
        path = write_mask(tmp_path / "m.png", mask, classes)
        raw = read_mask(path)
        assert raw.kind == "palette"
        np.testing.assert_array_equal(raw.values, mask)
        image = read_image(path)
        assert image[1, 2].tolist() == [3, 128, 255]
        assert image[0, 0].tolist() == [255, 255, 255]
        assert read_header(path).bits == 8

    def test_probabilities_in_sixteen_bits(self, tmp_path):
        probability = np.array([[0, 0.5, 1.0, 1 / 65535, 1.0001]], dtype=np.float32)
        path = write_probability(tmp_path / "p.png", probability)
        with Image.open(path) as picture:
            assert np.asarray(picture).tolist() == [[0, 32768, 65535, 1, 65535]]
        with pytest.raises(ValueError, match="NaN"):
            write_probability(tmp_path / "p.png", np.array([[np.nan]]))

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp"])
    def test_an_image_comes_back(self, tmp_path, name):
        np.testing.assert_array_equal(read_image(write_image(tmp_path / name, COLOUR[::-1, ::-1])), COLOUR[::-1, ::-1])

    def test_jpeg_is_near(self, tmp_path):
        image = np.full((16, 16, 3), 90, dtype=np.uint8)
        np.testing.assert_allclose(read_image(write_image(tmp_path / "a.JPG", image)), image, atol=2)

    def test_an_unknown_suffix(self, tmp_path):
        with pytest.raises(UsageError, match=r"a\.xyz: .*\.png"):
            write_image(tmp_path / "a.xyz", COLOUR)

    def test_a_folder_that_does_not_exist(self, tmp_path):
        with pytest.raises(OutputError, match="cannot be written"):
            write_mask(tmp_path / "no" / "m.png", MASK, default_classes(4))

    def test_what_was_there_stays_when_writing_fails(self, tmp_path, monkeypatch):
        path = write_image(tmp_path / "a.png", COLOUR)

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(OutputError, match="no space left"):
            write_image(path, COLOUR * 0)
        np.testing.assert_array_equal(read_image(path), COLOUR)
        assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
