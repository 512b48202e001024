"""NIfTI pictures and masks of one slice, in and out."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from formats.dicom_files import photograph, refused, save
from ocuseg import commands
from ocuseg.bundle import write_bundle
from ocuseg.errors import ImageError, OutputError
from ocuseg.formats.nifti import read_nifti_mask, write_nifti
from ocuseg.images import read_facts, read_header, read_image, read_mask
from unit.conftest import bright_red_content

AFFINE = np.array([[-0.02, 0, 0, 3.5], [0, -0.01, 0, 7.25], [0, 0, 1, -2], [0, 0, 0, 1]])


def values(height: int = 12, width: int = 20) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8)


def nifti(
    path: Path, rows: np.ndarray, *, shape: tuple[int, ...] = (), unit: str = "mm", kind=nibabel.Nifti1Image
) -> Path:
    """Write rows (H, W) as a NIfTI file by nibabel alone."""
    data = np.ascontiguousarray(rows.T)
    image = kind(data.reshape(shape or data.shape), AFFINE, dtype=data.dtype)
    image.header.set_xyzt_units(unit)
    image.header["descrip"] = b"Zebedee Quillfeather"
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["eye.nii", "eye.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("shape", [(20, 12), (20, 12, 1), (20, 12, 1, 1)])
def test_the_first_axis_runs_along_a_row(tmp_path, name, kind, shape):
    path = nifti(tmp_path / name, values(), shape=shape, kind=kind)
    image = read_image(path)
    assert np.array_equal(image, np.repeat(values()[..., np.newaxis], 3, axis=2))
    header = read_header(path)
    assert (header.format, header.bits, header.size) == ("NIfTI", 8, (12, 20))
    assert read_facts(path).spacing_mm == pytest.approx((0.01, 0.02))  # of rows, of columns


def test_units_give_the_spacing_or_none(tmp_path):
    assert read_facts(nifti(tmp_path / "a.nii", values(), unit="micron")).spacing_mm == pytest.approx((1e-5, 2e-5))
    assert read_facts(nifti(tmp_path / "b.nii", values(), unit="unknown")).spacing_mm is None


def test_colours_and_deeper_levels(tmp_path):
    rgb = np.zeros((20, 12), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for shift, name in enumerate("RGB"):
        rgb[name] = values().T >> shift
    nibabel.save(nibabel.Nifti1Image(rgb, AFFINE), tmp_path / "rgb.nii")
    assert np.array_equal(
        read_image(tmp_path / "rgb.nii"), np.stack([values() >> shift for shift in range(3)], axis=-1)
    )
    deep = values().astype(np.uint16) * 4
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(nifti(tmp_path / "deep.nii", deep)), read_image(tmp_path / "deep.png"))
    fractions = np.linspace(-1, 3, 240, dtype=np.float32).reshape(12, 20)
    image = read_image(nifti(tmp_path / "float.nii", fractions))[..., 0]
    assert np.abs(image - (fractions + 1) * 255 / 4).max() <= 0.51
    assert read_facts(tmp_path / "float.nii").notes == ("grey levels by its least and greatest value",)
    windowed = nibabel.load(tmp_path / "float.nii")
    windowed.header["cal_min"], windowed.header["cal_max"] = 0, 1
    nibabel.save(windowed, tmp_path / "cal.nii")
    assert np.abs(read_image(tmp_path / "cal.nii")[..., 0] - np.clip(fractions, 0, 1) * 255).max() <= 0.51


def test_masks_keep_their_numbers_whatever_they_are_stored_as(tmp_path):
    ids = values() % 5
    for dtype in (np.uint8, np.int16, np.int32, np.float32, np.float64):
        raw = read_mask(nifti(tmp_path / "mask.nii.gz", ids.astype(dtype)))
        assert np.array_equal(raw.values, ids)
        assert raw.kind == "grey"
    with pytest.raises(ImageError, match="no class ids"):
        read_mask(nifti(tmp_path / "half.nii", ids + 0.5))
    with pytest.raises(ImageError, match="no class ids"):
        read_mask(nifti(tmp_path / "minus.nii", ids.astype(np.int16) - 1))


@pytest.mark.parametrize("shape", [(20, 12), (20, 12, 1)])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_mask_keeps_the_header_of_its_picture(tmp_path, shape, kind):
    source = nifti(tmp_path / "eye.nii.gz", values(), shape=shape, kind=kind)
    mask = values() % 3
    path = write_nifti(tmp_path / "mask.nii.gz", source, mask)
    assert np.array_equal(read_nifti_mask(path), mask)
    found, given = nibabel.load(path), nibabel.load(source)
    assert type(found) is kind
    assert found.shape == shape
    assert np.array_equal(found.affine, given.affine)
    assert found.header.get_xyzt_units() == given.header.get_xyzt_units()
    assert np.array_equal(np.asarray(found.dataobj).reshape(20, 12), mask.T)  # as nibabel sees it
    assert b"Zebedee" not in gzip.decompress(path.read_bytes())


def test_a_mask_of_another_picture_has_the_spacing_that_is_known(tmp_path):
    mask = values() % 3
    Image.fromarray(values()).save(tmp_path / "eye.png")
    plain = nibabel.load(write_nifti(tmp_path / "plain.nii.gz", tmp_path / "eye.png", mask))
    assert plain.header.get_xyzt_units()[0] == "unknown"
    dicom = save(photograph(values(), PixelSpacing=[0.01, 0.02]), tmp_path / "eye.dcm")
    known = write_nifti(tmp_path / "known.nii", dicom, mask)
    assert read_facts(known).spacing_mm == pytest.approx((0.01, 0.02))
    assert np.array_equal(read_nifti_mask(known), mask)
    # What SimpleITK 2.5 writes of the same PNG: its axes, left and back, are the other way round in NIfTI.
    assert np.array_equal(plain.affine, np.diag([-1, -1, 1, 1]))
    assert np.allclose(nibabel.load(known).affine, np.diag([-0.02, -0.01, 1, 1]))


def test_what_is_no_single_slice_or_not_whole_is_refused_in_a_line(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), AFFINE), tmp_path / "volume.nii.gz")
    assert "has 4 x 5 x 6 values, not one slice" in refused(tmp_path / "volume.nii.gz")
    whole = nifti(tmp_path / "eye.nii", values()).read_bytes()
    zipped = nifti(tmp_path / "eye.nii.gz", values()).read_bytes()
    for name, content in (("cut.nii", whole[:400]), ("cut.nii.gz", zipped[:-40]), ("header.nii", whole[:350])):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)
    (tmp_path / "other.nii.gz").write_bytes(gzip.compress(b"no picture" * 100))
    assert "is not an image" in refused(tmp_path / "other.nii.gz")


def test_a_claim_that_the_bytes_cannot_hold_is_refused(tmp_path):
    path = nifti(tmp_path / "eye.nii", values())
    content = bytearray(path.read_bytes())
    content[42:46] = (20_000).to_bytes(2, "little") * 2
    path.write_bytes(content)
    assert "claims 20000 x 20000 pixels" in refused(path)
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(content))
    assert "claims 20000 x 20000 pixels" in refused(path.with_suffix(".nii.gz"))


def test_a_folder_of_nifti_files_is_predicted_and_checked(tmp_path):
    info, onnx_model, weights = bright_red_content()
    model = write_bundle(tmp_path / "bundle", info, onnx_model=onnx_model, weights=weights)
    (tmp_path / "in").mkdir()
    nifti(tmp_path / "in" / "eye.nii.gz", values())
    (outcome,) = commands.predict(model, tmp_path / "in", out=tmp_path / "out", formats=["nifti"])
    assert [path.name for path in outcome.written] == ["eye.png", "eye.nii.gz"]
    assert np.array_equal(read_nifti_mask(outcome.written[1]), read_mask(outcome.written[0]).values)
    assert np.array_equal(read_nifti_mask(outcome.written[1]), values() > 127)
    assert outcome.areas[0]["area_mm2"] == pytest.approx((values() > 127).sum() * 0.0002)
    commands.predict(model, tmp_path / "in", out=tmp_path / "out", formats=["nifti"], again=True)
    # Corrected by hand in a tool that keeps the header as it is.
    predicted = nibabel.load(outcome.written[1])
    corrected = 1 - np.asarray(predicted.dataobj)
    nibabel.save(nibabel.Nifti1Image(corrected, predicted.affine, predicted.header), outcome.written[1])
    with pytest.raises(OutputError, match="was changed since 'ocuseg predict' wrote it"):
        commands.predict(model, tmp_path / "in", out=tmp_path / "out", formats=["nifti"])
    assert np.array_equal(read_nifti_mask(outcome.written[1]), values() <= 127)
    for split in ("train", "val", "test"):
        for part, seed in (("images", 0), ("masks", 1)):
            (tmp_path / "data" / split / part).mkdir(parents=True)
            name = f"{split}.nii.gz" if part == "images" else f"{split}.png"
            drawn = np.random.default_rng(len(split) + seed).integers(0, 256, (12, 20)).astype(np.uint8)
            if part == "images":
                nifti(tmp_path / "data" / split / part / name, drawn)
            else:
                Image.fromarray(drawn % 2).save(tmp_path / "data" / split / part / name)
    findings = commands.check(tmp_path / "data")
    assert [str(item) for item in findings if item.level == "error" and "copy" not in str(item)] == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_what_lies_before_the_pixels_is_not_unpacked_whatever_it_claims(tmp_path, kind, order):
    plain = nifti(tmp_path / "eye.nii", values(), kind=kind)
    header = nibabel.load(plain).header.as_byteswapped(order)
    header["vox_offset"] = 60_000_000
    claimed = int(60_000_000 - header.sizeof_hdr - 4)
    extension = np.array([claimed, 6], order + "i4").tobytes()
    content = header.binaryblock + b"\1\0\0\0" + extension + bytes(claimed)
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(content, 1))
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="damaged"):
            read_image(tmp_path / "bomb.nii.gz")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    image = kind(np.ascontiguousarray(values().T), AFFINE)
    written = kind(image.dataobj, AFFINE, image.header.as_byteswapped(order))
    nibabel.save(written, tmp_path / "whole.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "whole.nii.gz")[..., 0], values())
