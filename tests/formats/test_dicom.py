"""DICOM pictures in, DICOM segmentations out, and nobody's name in either."""

from __future__ import annotations

import csv
import io
import logging
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from formats.dicom_files import OPHTHALMIC_8, OPHTHALMIC_16, PERSON, VL_PHOTOGRAPHY, photograph, refused, save
from ocuseg import commands, terminal
from ocuseg.bundle import write_bundle
from ocuseg.classes import parse_classes
from ocuseg.cli import app
from ocuseg.errors import ImageError, OutputError, UsageError
from ocuseg.formats.dicom import LOCAL_SCHEME, read_dicom_segmentation, write_dicom_segmentation
from ocuseg.images import Facts, read_facts, read_header, read_image, read_mask
from ocuseg.index import find_images
from unit.conftest import bright_red_content

CLASSES = parse_classes(
    [{"id": id_, "name": name} for id_, name in enumerate(("background", "vessel", "odd thing", "cataract"))], where="x"
)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """The command line sends the log to a stream that ends with its test."""
    logger = logging.getLogger("ocuseg")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate, logger.level = before


def colours(height: int = 24, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int = 64, width: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([2 * rows + 60, 2 * columns + 20, rows + columns + 40], axis=-1).astype(np.uint8)


def ramp(low: int, high: int, dtype=np.uint16) -> np.ndarray:
    return np.linspace(low, high, 12 * 16).round().astype(dtype).reshape(12, 16)


def bundle(folder: Path, num_classes: int = 2) -> Path:
    info, onnx_model, weights = bright_red_content(num_classes)
    return write_bundle(folder / "bundle", info, onnx_model=onnx_model, weights=weights)


def grey(path: Path) -> np.ndarray:
    image = read_image(path)
    assert (image == image[..., :1]).all()
    return image[..., 0]


@pytest.mark.parametrize("kind", [OPHTHALMIC_8, VL_PHOTOGRAPHY])
def test_a_colour_photograph_is_read_as_it_is_stored(tmp_path, kind):
    path = save(photograph(colours(), kind=kind), tmp_path / "eye.dcm")
    assert np.array_equal(read_image(path), colours())
    header = read_header(path)
    assert (header.format, header.mode, header.bits, header.size, header.frames) == ("DICOM", "RGB", 8, (24, 40), 1)
    assert read_facts(path) == Facts()


def test_planes_that_lie_apart_are_put_together(tmp_path):
    data = photograph(colours())
    data.PlanarConfiguration, data.PixelData = 1, colours().transpose(2, 0, 1).tobytes()
    assert np.array_equal(read_image(save(data, tmp_path / "eye.dcm")), colours())


def test_ybr_full_and_its_422_become_rgb(tmp_path):
    ybr = convert_color_space(smooth(), "RGB", "YBR_FULL")
    full = save(photograph(ybr, "YBR_FULL"), tmp_path / "full.dcm")
    assert np.abs(read_image(full).astype(int) - smooth()).max() <= 2
    data = photograph(ybr, "YBR_FULL_422")
    pairs = ybr.reshape(64, 48, 2, 3)
    packed = np.concatenate([pairs[:, :, 0, :1], pairs[:, :, 1, :1], pairs[:, :, 0, 1:]], axis=-1)
    data.PixelData = packed.tobytes()
    half = read_image(save(data, tmp_path / "half.dcm")).astype(int)
    assert np.abs(half - smooth()).max() <= 6
    assert np.abs(half[:, ::2] - smooth()[:, ::2]).max() <= 2  # where the chroma was taken


def test_palette_colours_of_16_bits(tmp_path):
    data = photograph(np.arange(12 * 16, dtype=np.uint8).reshape(12, 16), "PALETTE COLOR")
    table = np.arange(256, dtype=np.uint16) * 257
    for name, values in (("Red", table), ("Green", table[::-1]), ("Blue", np.zeros_like(table))):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"{name}PaletteColorLookupTableData", values.astype("<u2").tobytes())
    image = read_image(save(data, tmp_path / "eye.dcm"))
    index = np.arange(12 * 16).reshape(12, 16)
    assert np.array_equal(image, np.stack([index, 255 - index, 0 * index], axis=-1))


def test_compressed_transfer_syntaxes(tmp_path):
    for name, form in (("jpeg", "JPEG"), ("jpeg2000", "JPEG2000")):
        data, buffer = photograph(smooth()), io.BytesIO()
        options = {"quality": 95} if form == "JPEG" else {"irreversible": False, "no_jp2": True}
        Image.fromarray(smooth()).save(buffer, form, **options)
        data.PixelData = encapsulate([buffer.getvalue()])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.PhotometricInterpretation = "YBR_FULL_422" if form == "JPEG" else "YBR_RCT"
        data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if form == "JPEG" else JPEG2000Lossless
        found = read_image(save(data, tmp_path / f"{name}.dcm")).astype(int)
        assert np.abs(found - smooth()).max() <= (12 if form == "JPEG" else 0), name
    rle = photograph(colours())
    rle.compress(RLELossless)
    assert np.array_equal(read_image(save(rle, tmp_path / "rle.dcm")), colours())
    deep = photograph(ramp(0, 4095), kind=OPHTHALMIC_16, bits=12)
    deep.compress(RLELossless)
    assert np.array_equal(read_mask(save(deep, tmp_path / "deep.dcm")).values, ramp(0, 4095))
    deflated = photograph(colours())
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert np.array_equal(read_image(save(deflated, tmp_path / "deflated.dcm")), colours())


@pytest.mark.parametrize(
    ("name", "corner"),
    [
        ("examples_jpeg2k.dcm", None),
        ("examples_ybr_color.dcm", None),
        ("examples_palette.dcm", None),
        ("SC_rgb_jpeg_dcmtk.dcm", (255, 0, 0)),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", (255, 0, 0)),
        ("SC_ybr_full_422_uncompressed.dcm", (255, 0, 0)),
        ("SC_rgb_rle.dcm", (255, 0, 0)),
        ("SC_rgb_rle_16bit.dcm", (255, 0, 0)),
        ("SC_rgb_small_odd_big_endian.dcm", None),
        ("image_dfl.dcm", None),
        ("JPEGLSNearLossless_08.dcm", None),
        ("MR_small_jp2klossless.dcm", None),
    ],
)
def test_files_that_pydicom_ships(name, corner):
    path = get_testdata_file(name, download=False)
    image, data = read_image(path), pydicom.dcmread(path)
    assert image.shape == (data.Rows, data.Columns, 3)
    assert np.ptp(image) > 90
    if corner is not None:
        assert np.abs(image[5, 50].astype(int) - corner).max() <= 3


def test_levels_without_a_window_are_those_of_a_16_bit_png(tmp_path):
    path = save(photograph(ramp(0, 1000), kind=OPHTHALMIC_16, bits=16), tmp_path / "eye.dcm")
    png = tmp_path / "eye.png"
    Image.fromarray(ramp(0, 1000)).save(png)
    assert np.array_equal(grey(path), grey(png))
    assert grey(path).max() == 249  # 1000 of 1023
    assert read_facts(path).notes == ("grey levels by the bits that its brightest value needs, as it has no window",)


def test_a_window_counts_in_rescaled_values(tmp_path):
    more = {"WindowCenter": 100, "WindowWidth": 101, "RescaleSlope": 0.5, "RescaleIntercept": -50}
    values = ramp(0, 500)
    path = save(photograph(values, kind=OPHTHALMIC_16, **more), tmp_path / "eye.dcm")
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, which here is 0 at 49.5 and 255 at 149.5.
    expected = np.clip((values * 0.5 - 50 - 49.5) / 100, 0, 1) * 255
    assert np.abs(grey(path) - expected).max() <= 0.5
    assert read_facts(path).notes == ("grey levels by its window (centre 100, width 101, LINEAR)",)


@pytest.mark.parametrize(
    ("function", "at"), [("LINEAR_EXACT", {50: 0, 100: 128, 150: 255}), ("SIGMOID", {50: 30, 100: 128, 150: 225})]
)
def test_other_functions_of_a_window(tmp_path, function, at):
    values = np.array([[*at, 0]], np.uint16)
    more = {"WindowCenter": 100, "WindowWidth": 100, "VOILUTFunction": function}
    path = save(photograph(values, kind=OPHTHALMIC_16, **more), tmp_path / "eye.dcm")
    assert grey(path)[0, :3].tolist() == list(at.values())


def test_a_table_of_levels(tmp_path):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 10, 8], [0, 40, 80, 255]
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    data = photograph(np.array([[9, 10, 11, 12, 13, 20]], np.uint16), kind=OPHTHALMIC_16, VOILUTSequence=[table])
    path = save(data, tmp_path / "eye.dcm")
    assert grey(path)[0].tolist() == [0, 0, 40, 80, 255, 255]
    assert read_facts(path).notes == ("grey levels by its table (VOI LUT)",)


def test_monochrome1_is_inverted_and_signed_levels_span_their_range(tmp_path):
    values = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    path = save(photograph(values, "MONOCHROME1"), tmp_path / "one.dcm")
    assert np.array_equal(grey(path), 255 - values)
    assert read_facts(path).notes == ("inverted, as it says (MONOCHROME1)",)
    signed = save(photograph(ramp(-100, 100, np.int16), kind=OPHTHALMIC_16), tmp_path / "signed.dcm")
    assert (grey(signed).min(), grey(signed).max()) == (0, 255)


def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path):
    frames = np.stack([colours(seed=seed) for seed in range(3)])
    path = save(photograph(frames), tmp_path / "eye.dcm")
    assert np.array_equal(read_image(path), frames[0])
    assert read_header(path).frames == 3
    assert read_facts(path).notes == ("has 3 frames, of which the first is taken",)


def test_side_and_spacing_are_read(tmp_path):
    more = {"PixelSpacing": [0.01, 0.02], "ImageLaterality": "L"}
    facts = read_facts(save(photograph(colours(), **more), tmp_path / "eye.dcm"))
    assert (facts.spacing_mm, facts.laterality) == ((0.01, 0.02), "L")
    assert facts.pixel_mm2 == pytest.approx(0.0002)
    measures, group = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, group.PixelMeasuresSequence = [0.5, 0.25], [measures]
    data = photograph(colours()[np.newaxis], SharedFunctionalGroupsSequence=[group], Laterality="R")
    facts = read_facts(save(data, tmp_path / "frames.dcm"))
    assert (facts.spacing_mm, facts.laterality) == ((0.5, 0.25), "R")
    odd = read_facts(save(photograph(colours(), PixelSpacing=[0, 0.02], ImageLaterality="U"), tmp_path / "odd.dcm"))
    assert (odd.spacing_mm, odd.laterality) == (None, None)


def test_files_that_hold_no_picture_are_refused_in_a_line(tmp_path):
    assert "(Basic Text SR Storage)" in refused(Path(get_testdata_file("reportsi.dcm", download=False)))
    pdf = photograph(colours())
    pdf.SOPClassUID = pdf.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    pdf.EncapsulatedDocument = b"%PDF-1.4 of Zebedee "
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(pdf, keyword)
    assert "without a picture (Encapsulated PDF Storage)" in refused(save(pdf, tmp_path / "letter.dcm"))
    bare = photograph(colours())
    del bare.PixelData
    assert "without pixel data" in refused(save(bare, tmp_path / "bare.dcm"))
    (tmp_path / "text.dcm").write_text("Zebedee")
    assert "is not an image" in refused(tmp_path / "text.dcm")


def test_truncated_and_damaged_files_are_refused_in_a_line_without_a_word_of_theirs(tmp_path):
    whole = save(photograph(colours()), tmp_path / "whole.dcm").read_bytes()
    for kept in (132, 150, 400, 900, len(whole) - 1000, len(whole) - 1):
        path = tmp_path / f"cut{kept}.dcm"
        path.write_bytes(whole[:kept])
        refused(path)
    odd = photograph(colours(), WindowCenter=1)
    odd.Rows = 0
    refused(save(odd, tmp_path / "rows.dcm"))
    assert "which no decoder here can read" in refused(Path(get_testdata_file("JPGExtended.dcm", download=False)))
    wide = photograph(np.zeros((4, 4, 3), np.uint32))
    assert "32 bits per channel" in refused(save(wide, tmp_path / "wide.dcm"))


def test_bombs_are_refused_before_they_are_inflated(tmp_path):
    data = photograph(colours())
    data.Rows = data.Columns = 20_000
    assert "claims 20000 x 20000 pixels" in refused(save(data, tmp_path / "claim.dcm"))
    bomb = photograph(colours())
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(bomb, tmp_path / "bomb.dcm")
    start = 144 + int.from_bytes(path.read_bytes()[140:144], "little")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"".join(deflate.compress(bytes(1 << 24)) for _ in range(40)) + deflate.flush()
    head, meta = path.read_bytes()[:132], path.read_bytes()[144:start]

    def refused_with(group_length: int, meta: bytes) -> None:
        length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, group_length)
        path.write_bytes(head + length + meta + zeros)
        assert "inflates to more than" in refused(path)

    refused_with(len(meta), meta)
    # The transfer syntax far from the beginning, and a length that leads to a harmless stream in a private element.
    harmless = zlib.compress(b"little", wbits=-zlib.MAX_WBITS).ljust(3000, b"\0")
    private = struct.pack("<HH2sHI", 2, 0x0102, b"OB", 0, len(harmless)) + harmless
    refused_with(len(private + meta), private + meta)
    refused_with(len(meta) + 12, meta + private)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_file_too_large_to_be_held_reads_the_same(tmp_path, monkeypatch, syntax):
    data = photograph(colours())
    data.file_meta.TransferSyntaxUID = syntax
    path = save(data, tmp_path / "eye.dcm")
    monkeypatch.setattr("ocuseg.images.content._HELD_BYTES", 0)
    assert np.array_equal(read_image(path), colours())
    assert read_header(path).size == colours().shape[:2]


def test_files_without_a_suffix_are_known_by_their_content(tmp_path):
    save(photograph(colours()), tmp_path / "IM0001")
    save(photograph(colours()), tmp_path / "1.2.840.99.1")
    save(photograph(colours()), tmp_path / "eye.DCM")
    (tmp_path / "README").write_text("no picture")
    save(photograph(colours()), tmp_path / "DICOMDIR")
    assert [path.name for path in find_images(tmp_path)] == ["1.2.840.99.1", "IM0001", "eye.DCM"]


def test_reading_a_png_does_not_load_pydicom(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "eye.png")
    code = (
        "import sys; from ocuseg.images import open_rows, read_header; "
        f"open_rows({str(tmp_path / 'eye.png')!r}); read_header({str(tmp_path / 'eye.png')!r}); "
        "assert not {'pydicom', 'nibabel', 'highdicom'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        (OPHTHALMIC_8, colours()),
        (OPHTHALMIC_8, np.stack([colours(), colours(seed=1)])),
        (OPHTHALMIC_16, ramp(0, 4095)),
        (VL_PHOTOGRAPHY, colours()),
    ],
)
@pytest.mark.parametrize("spacing", [None, [0.01, 0.02]])
def test_a_segmentation_reads_back_as_the_mask_and_refers_to_its_picture(tmp_path, kind, pixels, spacing):
    data = photograph(pixels, kind=kind, **({"PixelSpacing": spacing} if spacing else {}))
    image = save(data, tmp_path / "eye.dcm")
    mask = np.random.default_rng(5).integers(0, 3, (data.Rows, data.Columns)).astype(np.uint8)
    path = write_dicom_segmentation(tmp_path / "seg.dcm", image, mask, CLASSES)
    assert np.array_equal(read_dicom_segmentation(path), mask)
    assert np.array_equal(read_mask(path).values, mask)
    theirs = highdicom.seg.segread(path)  # the reader of the library that this project did not write
    frames = (
        theirs.get_pixels_by_source_instance([data.SOPInstanceUID], ignore_spatial_locations=True)
        if (data.get("NumberOfFrames", 1) == 1)
        else theirs.get_pixels_by_source_frame(data.SOPInstanceUID, [1], ignore_spatial_locations=True)
    )
    assert np.array_equal(frames[0], np.stack([mask == 1, mask == 2, mask == 3], axis=-1))
    reference = theirs.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == data.SOPInstanceUID
    assert theirs.StudyInstanceUID == data.StudyInstanceUID
    assert theirs.SeriesInstanceUID != data.SeriesInstanceUID
    measures = theirs.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert (measures[0].PixelSpacing if measures else None) == spacing
    again = write_dicom_segmentation(tmp_path / "again.dcm", image, mask, CLASSES)
    assert pydicom.dcmread(again).SOPInstanceUID == theirs.SOPInstanceUID


def test_segments_have_coded_concepts(tmp_path):
    image = save(photograph(colours()), tmp_path / "eye.dcm")
    mask = np.zeros((24, 40), np.uint8)
    path = write_dicom_segmentation(tmp_path / "seg.dcm", image, mask, CLASSES)
    assert read_dicom_segmentation(path).max() == 0  # an empty mask is a mask
    segments = [
        (item.SegmentNumber, item.SegmentLabel, kind.CodingSchemeDesignator, kind.CodeValue, kind.CodeMeaning)
        for item in pydicom.dcmread(path).SegmentSequence
        for kind in item.SegmentedPropertyTypeCodeSequence
    ]
    assert segments[0] == (1, "vessel", "SCT", "59820001", "Blood Vessel")
    assert segments[1][:3] == (2, "odd thing", LOCAL_SCHEME)
    assert segments[1][4] == "odd thing"
    assert segments[2] == (3, "cataract", "SCT", "193570009", "Lens Opacity")


def test_a_name_is_coded_the_same_in_whatever_case(tmp_path):
    image = save(photograph(colours()), tmp_path / "eye.dcm")
    coded = set()
    for name in ("cataract", "Cataract", " CATARACT"):
        classes = parse_classes([{"id": 0, "name": "background"}, {"id": 1, "name": name}])
        path = write_dicom_segmentation(tmp_path / "seg.dcm", image, np.zeros((24, 40), np.uint8), classes)
        segment = pydicom.dcmread(path).SegmentSequence[0]
        kinds = segment.SegmentedPropertyCategoryCodeSequence[0], segment.SegmentedPropertyTypeCodeSequence[0]
        coded.add(tuple(kind.CodeMeaning for kind in kinds))
    assert coded == {("Morphologically Abnormal Structure", "Lens Opacity")}


def test_what_cannot_be_a_segmentation_is_refused(tmp_path):
    image = save(photograph(colours()), tmp_path / "eye.dcm")
    mask = np.zeros((24, 40), np.uint8)
    with pytest.raises(ImageError, match="has 40 x 24 pixels, its mask 24 x 40"):
        write_dicom_segmentation(tmp_path / "seg.dcm", image, mask.T, CLASSES)
    Image.fromarray(colours()).save(tmp_path / "eye.png")
    with pytest.raises(ImageError, match="is no DICOM file"):
        write_dicom_segmentation(tmp_path / "seg.dcm", tmp_path / "eye.png", mask, CLASSES)
    lost = photograph(colours())
    del lost.StudyInstanceUID
    with pytest.raises(ImageError, match="lacks StudyInstanceUID"):
        write_dicom_segmentation(tmp_path / "seg.dcm", save(lost, tmp_path / "lost.dcm"), mask, CLASSES)
    seg = write_dicom_segmentation(tmp_path / "seg.dcm", image, mask, CLASSES)
    with pytest.raises(ImageError, match="is a DICOM segmentation, not an image"):
        read_image(seg)


def test_overlapping_segments_are_not_flattened(tmp_path):
    save(photograph(colours()), tmp_path / "eye.dcm")
    ours = write_dicom_segmentation(tmp_path / "seg.dcm", tmp_path / "eye.dcm", np.ones((24, 40), np.uint8), CLASSES)
    data = pydicom.dcmread(ours)
    second = pydicom.Dataset()
    second.update(data.PerFrameFunctionalGroupsSequence[0])
    data.PerFrameFunctionalGroupsSequence.append(second)
    data.NumberOfFrames, data.PixelData = 2, data.PixelData * 2
    with pytest.raises(ImageError, match="has overlapping segments"):
        read_mask(save(data, tmp_path / "twice.dcm"))


def identifiers(data: pydicom.Dataset) -> list[str]:
    """Each word of the person, and the private ones, as bytes may hold it."""
    words = {part for value in PERSON.values() for part in value.replace("^", " ").split() if len(part) > 4}
    return sorted(words | {"19410213", "Zebedee", str(data.SOPInstanceUID), str(data.SeriesInstanceUID)})


def test_nobody_is_named_in_any_output_nor_on_the_terminal(tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    data = photograph(colours(), PixelSpacing=[0.01, 0.02], ImageLaterality="R")
    (tmp_path / "in").mkdir()
    save(data, tmp_path / "in" / "eye.dcm")
    cut = tmp_path / "in" / "cut.dcm"
    cut.write_bytes((tmp_path / "in" / "eye.dcm").read_bytes()[:-500])
    out = tmp_path / "out"
    words = [
        "--debug", "predict", str(bundle(tmp_path)), str(tmp_path / "in"), "--out", str(out), "--overlay", "--npz",
        "--format", "dicom-seg", "--format", "nifti",
    ]  # fmt: skip
    assert terminal.run(app, words) == 1  # the one that was cut off
    said = capsys.readouterr()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.relative_to(out).as_posix() for path in files} >= {"eye.png", "dicom-seg/eye.dcm", "nifti/eye.nii.gz"}
    allowed = {str(data.SOPInstanceUID), str(data.SeriesInstanceUID)}  # to which a segmentation has to refer
    for path in files:
        content = path.read_bytes()
        for word in identifiers(data):
            if not (path.name == "eye.dcm" and word in allowed):
                assert word.encode() not in content, f"{path}: {word}"
    for word in identifiers(data):
        assert word not in said.out + said.err + caplog.text
    seg = pydicom.dcmread(out / "dicom-seg" / "eye.dcm")
    assert not any(seg.get(word) for word in (*PERSON, "PatientSex") if word != "DeviceSerialNumber")


def test_areas_in_square_millimetres_and_the_side_are_columns_only_where_they_are_known(tmp_path):
    image = np.zeros((24, 40, 3), np.uint8)
    image[:5, :10] = 255
    model = bundle(tmp_path)
    save(photograph(image, PixelSpacing=[0.1, 0.2], ImageLaterality="R"), tmp_path / "eye.dcm")
    Image.fromarray(image).save(tmp_path / "plain.png")
    (plain,) = commands.predict(model, tmp_path / "plain.png", out=tmp_path / "out")
    assert "area_mm2" not in (tmp_path / "out" / "areas.csv").read_text()
    assert plain.facts is None
    (outcome,) = commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "out")
    assert outcome.facts is not None
    assert outcome.facts.laterality == "R"
    assert outcome.areas[0]["area_mm2"] == pytest.approx(50 * 0.02)
    with (tmp_path / "out" / "areas.csv").open() as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert float(rows["eye"]["area_mm2"]) == pytest.approx(1.0)
    assert (rows["eye"]["laterality"], rows["plain"]["laterality"], rows["plain"]["area_mm2"]) == ("R", "", "")
    (before,) = commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "out")
    assert before.done_before
    assert before.areas[0]["area_mm2"] == pytest.approx(1.0)


def test_a_large_photograph_by_bands_has_the_same_facts_and_segmentation(tmp_path):
    image = np.zeros((2100, 2050, 3), np.uint8)
    image[100:300, 50:90] = 255
    save(photograph(image, PixelSpacing=[0.5, 0.5]), tmp_path / "eye.dcm")
    (outcome,) = commands.predict(bundle(tmp_path), tmp_path / "eye.dcm", out=tmp_path / "out", formats=["dicom-seg"])
    assert outcome.areas[0]["area_mm2"] == pytest.approx(8000 * 0.25)
    assert read_dicom_segmentation(outcome.written[-1]).sum() == 8000


def test_predict_says_how_the_picture_was_taken_and_what_a_png_lacks(tmp_path, capsys):
    save(photograph(np.stack([colours(), colours()])), tmp_path / "eye.dcm")
    Image.fromarray(colours()).save(tmp_path / "plain.png")
    inputs = [str(tmp_path / name) for name in ("eye.dcm", "plain.png")]
    words = ["predict", str(bundle(tmp_path)), *inputs, "--out", str(tmp_path / "out"), "--format", "dicom-seg"]
    words[-2:-2] = ["--format", "dicom-seg", "--format", "labelme"]
    assert terminal.run(app, words) == 1
    shown = capsys.readouterr()
    said = shown.err
    assert shown.out.startswith("wrote 2 masks, areas.csv")
    assert sorted(path.name for path in (tmp_path / "out" / "labelme").glob("*.json")) == ["eye.json", "plain.json"]
    assert "eye.dcm: has 2 frames, of which the first is taken" in said
    assert "plain.png: is no DICOM file, so no DICOM segmentation can refer to it" in said
    assert (tmp_path / "out" / "plain.png").is_file()
    assert terminal.run(app, [*words[:-1], "dicom"]) == 2
    assert "did you mean 'dicom-seg'?" in capsys.readouterr().err


def test_a_segmentation_of_somebody_else_is_not_written_over(tmp_path):
    save(photograph(colours()), tmp_path / "eye.dcm")
    model = bundle(tmp_path)
    commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "out", formats=["dicom-seg"])
    target = tmp_path / "out" / "dicom-seg" / "eye.dcm"
    commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "out", formats=["dicom-seg"], again=True)
    corrected = pydicom.dcmread(target)
    corrected.PixelData = bytes(len(corrected.PixelData))
    corrected.save_as(target)
    with pytest.raises(OutputError, match="was changed since 'ocuseg predict' wrote it"):
        commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "out", formats=["dicom-seg"])
    assert not read_dicom_segmentation(target).any()
    with pytest.raises(UsageError, match="is no format to write"):
        commands.predict(model, tmp_path / "eye.dcm", out=tmp_path / "none", formats=["seg"])
    assert not (tmp_path / "none").exists()


def test_a_data_set_of_dicom_pictures_and_segmentations_is_checked_like_any(tmp_path):
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for part in ("images", "masks"):
            (tmp_path / "data" / split / part).mkdir(parents=True)
        for number in range(count):
            seed = 10 * number + len(split)
            image = save(photograph(colours(seed=seed)), tmp_path / "data" / split / "images" / f"e{seed}.dcm")
            mask = np.random.default_rng(seed).integers(0, 4, (24, 40)).astype(np.uint8)
            write_dicom_segmentation(tmp_path / "data" / split / "masks" / f"e{seed}.dcm", image, mask, CLASSES)
    findings = commands.check(tmp_path / "data")
    assert [str(item) for item in findings if item.level == "error"] == []
