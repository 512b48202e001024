from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ocuseg.classes import default_classes
from ocuseg.encoding import MaskEncoding, RawMask, count_values, infer_encoding
from ocuseg.errors import ImageError, OcusegError
from ocuseg.images import read_header, read_image, read_mask, write_image, write_mask

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
images = sizes.flatmap(lambda size: hnp.arrays(np.uint8, (*size, 3)))
greys = sizes.flatmap(lambda size: hnp.arrays(np.uint8, size))
raw_masks = st.one_of(
    greys.map(lambda values: RawMask(values, "grey")),
    sizes.flatmap(lambda size: hnp.arrays(np.int32, size, elements=st.integers(-5, 70_000))).map(
        lambda values: RawMask(values, "grey")
    ),
    images.map(lambda values: RawMask(values, "colour")),
)


@given(images, st.sampled_from([".png", ".tif", ".bmp", ".webp"]))
@settings(max_examples=60, deadline=None)
def test_an_image_comes_back_as_it_was_written(image, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = write_image(Path(folder) / f"a{suffix}", image)
        np.testing.assert_array_equal(read_image(path), image)
        assert read_header(path).size == image.shape[:2]


@given(sizes.flatmap(lambda size: hnp.arrays(np.uint8, size, elements=st.sampled_from([0, 1, 2, 3, 4, 255]))))
@settings(max_examples=60, deadline=None)
def test_a_mask_comes_back_as_it_was_written(mask):
    classes = default_classes(5, ignore_index=255)
    with tempfile.TemporaryDirectory() as folder:
        raw = read_mask(write_mask(Path(folder) / "m.png", mask, classes))
    encoding, _ = infer_encoding(count_values(raw), classes=classes)
    np.testing.assert_array_equal(encoding.decode(raw, "m.png"), mask)


@given(images, st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "PPM", "GIF", "WEBP"]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_an_image_error_or_an_image_and_nothing_else(image, kind, data):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(content)
        try:
            size = read_header(path).size
            assert read_image(path).shape == (*size, 3)
            assert read_mask(path).size == size
        except ImageError as error:
            complaint = str(error)
        else:
            complaint = f"{path}: "
    assert complaint.startswith(f"{path}: ")
    assert "\n" not in complaint


@given(raw_masks)
@settings(max_examples=100, deadline=None)
def test_counts_add_up_and_agree_with_numpy(raw):
    counts = count_values(raw)
    assert sum(counts.values()) == raw.size[0] * raw.size[1]
    pixels = raw.values.reshape(-1, 3) if raw.kind == "colour" else raw.values.reshape(-1, 1)
    found, numbers = np.unique(pixels, axis=0, return_counts=True)
    expected = {tuple(row) if len(row) == 3 else row[0]: n for row, n in zip(found.tolist(), numbers, strict=True)}
    assert counts == expected


@given(raw_masks, st.integers(2, 6))
@settings(max_examples=150, deadline=None)
def test_a_mask_decodes_to_ids_of_its_classes_or_says_why_not(raw, num_classes):
    complaints = []
    for classes in (None, default_classes(num_classes)):
        try:
            encoding, found = infer_encoding(count_values(raw), classes=classes)
            mask = encoding.decode(raw, "m.png")
        except OcusegError as error:
            complaints.append(str(error))
            continue
        assert mask.dtype == np.uint8
        assert mask.shape == raw.size
        assert mask.max() < len(found)
        assert MaskEncoding.from_json(encoding.to_json()) == encoding
        # The rule is a function of the value: equal values get one id, and different ids come from different values.
        flat = raw.values.reshape(mask.size, -1)
        for class_id in np.unique(mask):
            values = np.unique(flat[mask.ravel() == class_id], axis=0)
            others = np.unique(flat[mask.ravel() != class_id], axis=0)
            assert not {tuple(row) for row in values.tolist()} & {tuple(row) for row in others.tolist()}
    assert not any("\n" in complaint for complaint in complaints)
