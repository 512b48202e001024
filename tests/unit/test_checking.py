from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from ocuseg.checking import CheckResult, check_index
from ocuseg.classes import default_classes, parse_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import UsageError
from ocuseg.findings import Finding
from ocuseg.index import build_index

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository")
SIZE = (48, 64)
SPLITS = {"train": 4, "val": 2, "test": 2}
Edit = Callable[[NDArray[np.uint8]], Any]


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of its own structure: blurred noise with full contrast."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)
    low, high = blurred.min(), blurred.max()
    return Image.fromarray(((blurred - low) / (high - low) * 255).astype(np.uint8))


def ids(num_classes: int = 2, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Class ids in vertical bands, each class in a quarter or more of the pixels."""
    return np.broadcast_to((np.arange(size[1]) * num_classes // size[1]).astype(np.uint8), size).copy()


def make(root: Path, mask: Edit = lambda array: Image.fromarray(array * 255), num_classes: int = 2) -> Path:
    """Write a data set in the cataract layout with a picture and a mask per number, masks as `mask` makes them."""
    seed = 0
    for split, count in SPLITS.items():
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            seed += 1
            picture(seed).save(root / split / "images" / f"{seed}.png")
            mask(ids(num_classes)).save(root / split / "masks" / f"{seed}.png")
    return root


def check(root: Path, group_pattern: str | None = r"(\d+)", **settings: Any) -> CheckResult:
    return check_index(build_index(root, group_pattern=group_pattern), workers=1, **settings)


def faults(result: CheckResult) -> list[tuple[str, str, str]]:
    return [(item.level, item.code, item.path) for item in result if item.level != "note"]


def the(result: CheckResult, code: str) -> Finding:
    (finding,) = (item for item in result if item.code == code)
    return finding


def plain(array: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(array)


def coloured(array: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)[array])


THREE = parse_classes(
    [
        {"id": 0, "name": "background", "colour": "#000000"},
        {"id": 1, "name": "artery", "colour": "#ff0000"},
        {"id": 2, "name": "vein", "colour": "#0000ff"},
    ]
)


class TestSound:
    def test_a_sound_set_has_notes_only(self, tmp_path: Path):
        result = check(make(tmp_path))
        assert faults(result) == []
        assert {item.code for item in result} == {"classes", "class-shares"}
        assert result.findings.summary == "8 images: 0 errors, 0 warnings, 4 notes"
        assert len(result.usable) == 8
        assert {split: pixels.tolist() for split, pixels in result.class_pixels.items()} == {
            "train": [4 * 48 * 32] * 2,
            "val": [2 * 48 * 32] * 2,
            "test": [2 * 48 * 32] * 2,
        }
        assert result.image_class_pixels["1"].tolist() == [48 * 32, 48 * 32]
        assert "255 is class 1" in the(result, "classes").found
        shares = [item.found for item in result if item.code == "class-shares"]
        assert shares == ["background 50.00%, foreground 50.00%"] * 3

    def test_classes_file_names_the_classes(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        (tmp_path / "classes.yaml").write_text("- {id: 0, name: bg}\n- {id: 1, name: iris}\n- {id: 2, name: pupil}\n")
        result = check(tmp_path)
        assert result.classes is not None
        assert result.classes.names == ("bg", "iris", "pupil")
        assert faults(result) == []
        given = check(tmp_path, classes=THREE)
        assert given.classes == THREE

    def test_broken_classes_file(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        (tmp_path / "classes.yaml").write_text("- {id: 0, name: bg}\n- {id: 5, name: iris}\n")
        result = check(tmp_path)
        assert faults(result) == [("error", "classes-unreadable", "classes.yaml")]
        assert the(result, "classes-unreadable").remedy == "renumber them"

    def test_index_findings_are_kept(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "val/masks/5.png").unlink()
        result = check(tmp_path)
        assert faults(result) == [("error", "mask-missing", "val/images/5.png")]
        assert len(result.usable) == 7

    def test_everything_at_once(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/images/1.png").write_bytes(b"no image")
        Image.fromarray(ids(size=(20, 20)) * 255).save(tmp_path / "train/masks/2.png")
        Image.fromarray(ids() * 0 + 7).save(tmp_path / "val/masks/5.png")
        shutil.copy(tmp_path / "train/images/3.png", tmp_path / "test/images/7.png")
        found = faults(check(tmp_path))
        assert ("error", "image-unreadable", "train/images/1.png") in found
        assert ("error", "mask-size", "train/masks/2.png") in found
        assert ("error", "mask-values", "val/masks/5.png") in found
        assert ("error", "picture-in-two-splits", "train/images/3.png") in found

    def test_every_finding_has_a_place_and_a_remedy(self, tmp_path: Path):
        make(tmp_path)
        for path in sorted(tmp_path.rglob("*.png"))[::3]:
            path.write_bytes(path.read_bytes()[:-40])
        for item in check(tmp_path):
            assert item.path
            assert item.found
            assert item.remedy
            assert "\n" not in str(item)
            assert str(tmp_path) not in str(item)

    def test_processes_see_what_one_process_sees(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/images/1.png").write_bytes(b"no image")
        index = build_index(tmp_path)
        seen: list[tuple[int, int]] = []
        alone, together = (
            check_index(index, workers=1),
            check_index(index, workers=2, progress=lambda a, b: seen.append((a, b))),
        )
        assert together.findings == alone.findings
        assert together.data_hash == alone.data_hash
        assert together.file_hashes == alone.file_hashes
        assert seen == [(n, 8) for n in range(1, 9)]

    def test_a_script_without_a_main_guard(self, tmp_path: Path):
        script = tmp_path / "script.py"
        script.write_text(
            "from ocuseg.checking import check_index\n"
            "from ocuseg.index import build_index\n"
            f"result = check_index(build_index({str(make(tmp_path / 'data'))!r}), workers=2)\n"
            "print(result.findings.summary)\n"
        )
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=True)
        assert done.stdout == "8 images: 0 errors, 0 warnings, 5 notes\n"
        assert done.stderr == ""


class TestFiles:
    @pytest.mark.parametrize("kind", ["images", "masks"])
    @pytest.mark.parametrize("content", [b"", b"no image at all", None])
    def test_unreadable(self, tmp_path: Path, kind: str, content: bytes | None):
        make(tmp_path)
        path = tmp_path / "train" / kind / "2.png"
        path.write_bytes(path.read_bytes()[:-30] if content is None else content)
        result = check(tmp_path)
        assert faults(result) == [("error", f"{kind[:-1]}-unreadable", f"train/{kind}/2.png")]
        assert "2" not in {record.name for record in result.usable}

    def test_truncated_jpeg(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/images/2.png").unlink()
        path = tmp_path / "train/images/2.jpg"
        picture(2, (200, 200)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert ("error", "image-unreadable", "train/images/2.jpg") in faults(check(tmp_path))

    def test_tiny_and_blank(self, tmp_path: Path):
        make(tmp_path)
        Image.new("RGB", (1, 1)).save(tmp_path / "train/images/1.png")
        Image.new("L", (1, 1)).save(tmp_path / "train/masks/1.png")
        Image.new("RGB", SIZE[::-1], (9, 9, 9)).save(tmp_path / "val/images/5.png")
        assert faults(check(tmp_path)) == [
            ("error", "image-too-small", "train/images/1.png"),
            ("warning", "image-blank", "val/images/5.png"),
            ("warning", "mask-empty", "train/masks/1.png"),
        ]

    def test_mixed_sizes_and_modes(self, tmp_path: Path):
        make(tmp_path)
        picture(1, (50, 70)).save(tmp_path / "train/images/1.png")
        Image.fromarray(ids(size=(50, 70)) * 255).save(tmp_path / "train/masks/1.png")
        picture(2).convert("L").save(tmp_path / "train/images/2.png")
        result = check(tmp_path)
        assert the(result, "sizes-mixed").level == "note"
        assert the(result, "sizes-mixed").found == "48 x 64 px (7), 50 x 70 px (1)"
        assert the(result, "modes-mixed").found == "colour (7), grey (1)"

    def test_sixteen_bits(self, tmp_path: Path):
        make(tmp_path)
        Image.fromarray(np.asarray(picture(1).convert("L")).astype(np.uint16) * 257).save(
            tmp_path / "train/images/1.png"
        )
        result = check(tmp_path)
        assert the(result, "image-16-bit").level == "note"
        assert "train/images/1.png" in the(result, "image-16-bit").found

    def test_animation(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/images/1.png").unlink()
        frames = [picture(1), picture(77)]
        frames[0].save(tmp_path / "train/images/1.tif", save_all=True, append_images=frames[1:])
        assert faults(check(tmp_path)) == [("warning", "image-frames", "train/images/1.tif")]

    def test_all_unreadable(self, tmp_path: Path):
        make(tmp_path)
        for path in tmp_path.rglob("*.png"):
            path.write_bytes(b"x")
        result = check(tmp_path)
        assert result.encoding is None
        assert result.usable == ()
        assert the(result, "masks-undecided").found == "no mask could be read"


class TestSizes:
    def test_mask_of_another_size(self, tmp_path: Path):
        make(tmp_path)
        Image.fromarray(ids(size=(24, 32)) * 255).save(tmp_path / "val/masks/6.png")
        result = check(tmp_path)
        assert faults(result) == [("error", "mask-size", "val/masks/6.png")]
        assert "48 x 64" in the(result, "mask-size").expected
        assert the(result, "mask-size").found == "24 x 32 px"

    def exif(self, tmp_path: Path, orientation: int, size: tuple[int, int] = SIZE) -> CheckResult:
        make(tmp_path)
        (tmp_path / "train/images/1.png").unlink()
        tags = Image.Exif()
        tags[0x0112] = orientation
        picture(1, size).save(tmp_path / "train/images/1.jpg", exif=tags)
        Image.fromarray(ids(size=size) * 255).save(tmp_path / "train/masks/1.png")
        return check(tmp_path)

    @pytest.mark.parametrize("orientation", [6, 8])
    def test_image_turned_by_exif(self, tmp_path: Path, orientation: int):
        result = self.exif(tmp_path, orientation)
        assert faults(result) == [("error", "mask-orientation", "train/masks/1.png")]
        assert "EXIF turns the image alone" in the(result, "mask-orientation").found

    @pytest.mark.parametrize(("orientation", "size"), [(3, SIZE), (2, SIZE), (6, (48, 48))])
    def test_turn_that_sizes_do_not_show(self, tmp_path: Path, orientation: int, size: tuple[int, int]):
        assert faults(self.exif(tmp_path, orientation, size)) == [
            ("warning", "mask-orientation-unsure", "train/masks/1.png")
        ]

    def test_mask_drawn_on_the_upright_image(self, tmp_path: Path):
        self.exif(tmp_path, 6)
        Image.fromarray(ids(size=SIZE[::-1]) * 255).save(tmp_path / "train/masks/1.png")
        assert faults(check(tmp_path)) == []

    def test_upright_by_tag(self, tmp_path: Path):
        assert faults(self.exif(tmp_path, 1)) == []


class TestMaskValues:
    @pytest.mark.parametrize("value", [7, 128, 254])
    def test_stray_value_in_one_mask(self, tmp_path: Path, value: int):
        make(tmp_path)
        mask = ids() * 255
        mask[:6, :8] = value
        Image.fromarray(mask).save(tmp_path / "train/masks/2.png")
        result = check(tmp_path)
        assert faults(result) == [("error", "mask-values", "train/masks/2.png")]
        assert f"{value} in 1.56%" in the(result, "mask-values").found
        assert "0 and 255" in the(result, "mask-values").expected
        assert result.class_pixels["train"].tolist() == [3 * 48 * 32] * 2

    def test_ids_in_one_mask_of_0_and_255(self, tmp_path: Path):
        make(tmp_path)
        Image.fromarray(ids()).save(tmp_path / "train/masks/2.png")
        assert faults(check(tmp_path)) == [("error", "mask-values", "train/masks/2.png")]

    def test_0_and_255_in_one_mask_of_ids(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        Image.fromarray(ids() * 255).save(tmp_path / "train/masks/2.png")
        result = check(tmp_path)
        assert faults(result) == [("error", "mask-values", "train/masks/2.png")]
        assert "ignore_index: 255" in the(result, "mask-values").remedy

    def test_255_is_never_ignored_in_silence(self, tmp_path: Path):
        def with_rim(array: NDArray[np.uint8]) -> Image.Image:
            array[:4] = 255
            return Image.fromarray(array)

        make(tmp_path, with_rim, 3)
        result = check(tmp_path)
        assert result.encoding is None
        assert "255" in the(result, "masks-undecided").found
        assert "ignore_index: 255" in the(result, "masks-undecided").remedy
        ignoring = check(tmp_path, ignore_index=255)
        assert faults(ignoring) == []
        assert ignoring.class_pixels["val"].sum() == 2 * 44 * 64

    def test_id_beyond_the_classes(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        mask = ids(3)
        mask[0, 0] = 3
        Image.fromarray(mask).save(tmp_path / "test/masks/8.png")
        for settings in ({}, {"classes": THREE}):
            result = check(tmp_path, **settings)
            assert faults(result) == [("error", "mask-values", "test/masks/8.png")]
            assert "the value 3" in the(result, "mask-values").found

    def test_class_in_test_alone_is_beyond_what_training_holds(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        Image.fromarray(ids(4)).save(tmp_path / "test/masks/8.png")
        assert faults(check(tmp_path)) == [("error", "mask-values", "test/masks/8.png")]

    def test_soft_edges_in_all_masks(self, tmp_path: Path):
        def soft(array: NDArray[np.uint8]) -> Image.Image:
            return Image.fromarray(array * 255).filter(ImageFilter.GaussianBlur(2))

        make(tmp_path, soft)
        result = check(tmp_path)
        assert result.encoding is None
        assert [item.code for item in result if item.level == "error"] == ["masks-undecided"]
        assert "mask_threshold: 128" in the(result, "masks-undecided").remedy
        assert faults(check(tmp_path, mask_threshold=128)) == []

    @pytest.mark.parametrize(("shape", "dtype"), [(SIZE, np.uint16), ((*SIZE, 3), np.uint8)])
    def test_a_threshold_counts_all_of_very_many_values(self, tmp_path: Path, shape: tuple[int, ...], dtype: Any):
        most = int(np.iinfo(dtype).max)
        values = np.random.default_rng(0).integers(0, most, shape, dtype, endpoint=True)
        make(tmp_path, lambda _: Image.fromarray(values))
        view = np.zeros(SIZE, dtype=np.uint8)
        (tmp_path / "val/fov").mkdir()
        for number, rows in ((5, 20), (6, 0)):
            view[:rows] = 255
            Image.fromarray(view * (rows > 0)).save(tmp_path / f"val/fov/{number}.png")
        threshold = most * 4 // 5
        foreground = values.reshape(*SIZE, -1).max(axis=2) >= threshold
        result = check(tmp_path, mask_threshold=threshold)
        assert result.image_class_pixels["1"].tolist() == [(~foreground).sum(), foreground.sum()]
        assert result.image_class_pixels["5"].tolist() == [(~foreground[:20]).sum(), foreground[:20].sum()]
        assert faults(result) == [("error", "field-of-view-empty", "val/fov/6.png")]

    def test_soft_edges_in_one_mask(self, tmp_path: Path):
        make(tmp_path)
        Image.fromarray(ids() * 255).filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "val/masks/5.png")
        result = check(tmp_path)
        assert faults(result) == [("error", "mask-values", "val/masks/5.png")]
        assert "mask_threshold" in the(result, "mask-values").remedy

    def test_jpeg_ringing(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/masks/1.png").unlink()
        wave = np.where(np.add.outer(np.arange(48), np.arange(64)) % 13 < 5, 255, 0).astype(np.uint8)
        Image.fromarray(wave).save(tmp_path / "train/masks/1.jpg", quality=60)
        assert faults(check(tmp_path)) == [("error", "mask-values", "train/masks/1.jpg")]

    def test_jpeg_without_ringing_is_a_warning(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "train/masks/1.png").unlink()
        Image.fromarray(ids() * 255).save(tmp_path / "train/masks/1.jpg", quality=100)
        assert faults(check(tmp_path)) == [("warning", "mask-lossy", "train/masks/1.jpg")]

    def test_palette(self, tmp_path: Path):
        def indexed(array: NDArray[np.uint8]) -> Image.Image:
            image = Image.fromarray(array)
            image.putpalette([0, 0, 0, 200, 10, 10, 10, 10, 200])
            return image

        result = check(make(tmp_path, indexed, 3))
        assert faults(result) == []
        assert result.class_pixels["val"].sum() == 2 * 48 * 64
        assert (result.class_pixels["val"] > 0).all()

    def test_colours(self, tmp_path: Path):
        make(tmp_path, coloured, 3)
        result = check(tmp_path)
        assert result.encoding is None
        assert "classes.yaml" in the(result, "masks-undecided").remedy
        result = check(tmp_path, classes=THREE)
        assert faults(result) == []
        assert (result.class_pixels["train"] > 0).all()

    def test_stray_colour_names_the_nearest_class(self, tmp_path: Path):
        make(tmp_path, coloured, 3)
        mask = np.asarray(coloured(ids(3))).copy()
        mask[:2, :2] = (250, 10, 0)
        Image.fromarray(mask).save(tmp_path / "train/masks/3.png")
        result = check(tmp_path, classes=THREE)
        assert faults(result) == [("error", "mask-values", "train/masks/3.png")]
        assert "#fa0a00" in the(result, "mask-values").found
        assert "#ff0000, class 1" in the(result, "mask-values").found

    def test_a_black_mask_among_coloured_ones(self, tmp_path: Path):
        make(tmp_path, coloured, 3)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "train/masks/1.png")
        assert faults(check(tmp_path, classes=THREE)) == [("warning", "mask-empty", "train/masks/1.png")]

    def test_one_coloured_mask_among_ids(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        coloured(ids(3)).save(tmp_path / "val/masks/5.png")
        result = check(tmp_path)
        assert ("error", "mask-values", "val/masks/5.png") in faults(result)
        assert the(result, "mask-modes-mixed").found == "grey (7), colour (1)"

    def test_grey_and_palette_masks_hold_the_same_numbers(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        palette = Image.fromarray(ids(3)).convert("P")
        palette.putpalette([0, 0, 0, 0, 0, 255, 255, 0, 0])
        palette.save(tmp_path / "train/masks/1.png")
        assert check(tmp_path).encoding is not None
        assert faults(check(tmp_path)) == []

    def test_values_by_recipe(self, tmp_path: Path):
        make(tmp_path, lambda array: Image.fromarray(array * 100), 3)
        assert check(tmp_path).encoding is None
        result = check(tmp_path, mask_values={0: 0, 100: 1, 200: 2})
        assert faults(result) == []
        with pytest.raises(UsageError):
            check(tmp_path, mask_values={0: 0}, mask_threshold=3)

    def test_one_bit(self, tmp_path: Path):
        result = check(make(tmp_path, lambda array: Image.fromarray(array * 255).convert("1")))
        assert faults(result) == []
        assert result.class_pixels["val"].tolist() == [2 * 48 * 32] * 2


class TestClasses:
    def test_empty_mask(self, tmp_path: Path):
        make(tmp_path)
        Image.new("L", SIZE[::-1]).save(tmp_path / "train/masks/4.png")
        assert faults(check(tmp_path)) == [("warning", "mask-empty", "train/masks/4.png")]

    def test_nothing_is_marked_anywhere(self, tmp_path: Path):
        result = check(make(tmp_path, lambda array: Image.fromarray(array * 0)))
        assert the(result, "class-untrained").level == "error"

    def test_a_class_that_a_split_lacks(self, tmp_path: Path):
        make(tmp_path, plain, 3)
        for number in (5, 6):
            Image.fromarray(ids(2)).save(tmp_path / f"val/masks/{number}.png")
        result = check(tmp_path, classes=THREE)
        assert [(item.level, item.code) for item in result if item.level != "note"] == [("warning", "class-absent")]
        assert "vein" in the(result, "class-absent").expected
        assert "val" in the(result, "class-absent").expected

    def test_a_class_that_no_training_mask_holds(self, tmp_path: Path):
        result = check(make(tmp_path, plain, 2), classes=THREE)
        assert the(result, "class-untrained").level == "error"
        assert "vein" in the(result, "class-untrained").expected

    def test_splits_that_are_not_there(self, tmp_path: Path):
        make(tmp_path)
        shutil.rmtree(tmp_path / "test")
        assert the(check(tmp_path), "split-absent").level == "note"
        shutil.rmtree(tmp_path / "train")
        result = check(tmp_path)
        assert [item.level for item in result if item.code == "split-absent"] == ["warning", "note"]
        assert result.class_pixels.keys() == {"val"}


class TestGroups:
    def test_group_in_two_splits(self, tmp_path: Path):
        result = check(make(tmp_path), group_pattern=r"([12478])?")
        assert not [item for item in result if item.code == "group-in-two-splits"]
        shutil.move(tmp_path / "train/images/4.png", tmp_path / "train/images/5x.png")
        shutil.move(tmp_path / "train/masks/4.png", tmp_path / "train/masks/5x.png")
        finding = the(check(tmp_path), "group-in-two-splits")
        assert finding.level == "error"
        assert "'5'" in finding.expected
        assert finding.found == "train: 5x; val: 5"


class TestCopies:
    def change(
        self, tmp_path: Path, edit: Callable[[Image.Image], Image.Image], suffix: str = ".png", **options: Any
    ) -> CheckResult:
        make(tmp_path)
        for number in range(1, 9):
            split = "train" if number < 5 else "val" if number < 7 else "test"
            picture(number, (240, 320)).save(tmp_path / split / "images" / f"{number}.png")
            Image.fromarray(ids(size=(240, 320)) * 255).save(tmp_path / split / "masks" / f"{number}.png")
        (tmp_path / "test/images/8.png").unlink()
        copy = edit(Image.open(tmp_path / "train/images/3.png"))
        copy.save(tmp_path / f"test/images/8{suffix}", **options)
        Image.fromarray(ids(size=(copy.height, copy.width)) * 255).save(tmp_path / "test/masks/8.png")
        return check(tmp_path)

    def test_same_file(self, tmp_path: Path):
        result = self.change(tmp_path, lambda image: image)
        assert faults(result) == [("error", "picture-in-two-splits", "train/images/3.png")]
        assert the(result, "picture-in-two-splits").found == "the same in test/images/8.png (test)"

    def test_same_pixels_in_another_format(self, tmp_path: Path):
        assert faults(self.change(tmp_path, lambda image: image, ".bmp")) == [
            ("error", "picture-in-two-splits", "train/images/3.png")
        ]

    @pytest.mark.parametrize(
        "edit",
        [
            lambda image: image.resize((160, 120)),
            lambda image: image.resize((480, 360), Image.Resampling.BICUBIC),
            lambda image: ImageEnhance.Brightness(image).enhance(0.9),
            lambda image: image.convert("L"),
        ],
        ids=["half", "larger", "darker", "grey"],
    )
    def test_near_copy(self, tmp_path: Path, edit: Callable[[Image.Image], Image.Image]):
        found = [item for item in faults(self.change(tmp_path, edit)) if item[1] != "modes-mixed"]
        assert found == [("error", "near-copy-in-two-splits", "train/images/3.png")]

    def test_saved_as_jpeg(self, tmp_path: Path):
        result = self.change(tmp_path, lambda image: image, ".jpg", quality=50)
        assert faults(result) == [("error", "near-copy-in-two-splits", "train/images/3.png")]
        assert "test/images/8.jpg" in the(result, "near-copy-in-two-splits").found

    def test_twice_in_one_split(self, tmp_path: Path):
        make(tmp_path)
        shutil.copy(tmp_path / "train/images/1.png", tmp_path / "train/images/2.png")
        result = check(tmp_path)
        assert faults(result) == [("warning", "picture-twice", "train/images/1.png")]

    def test_a_common_disc_makes_no_near_copies(self, tmp_path: Path):
        """Photographs of one camera share the dark surround, the lit disc and its fall-off."""
        make(tmp_path)
        down, across = np.mgrid[-1:1:48j, -1:1:64j]
        radius = np.hypot(down, across)
        light = np.where(radius < 0.95, 170 - 60 * radius**2, 4)[..., np.newaxis]
        for path in sorted(tmp_path.glob("*/images/*.png")):
            detail = (np.asarray(picture(int(path.stem)), dtype=np.float64) - 128) * (radius < 0.95)[..., np.newaxis]
            Image.fromarray(np.clip(light + 0.3 * detail, 0, 255).astype(np.uint8)).save(path)
        thumbnails = [
            np.asarray(Image.open(path).convert("L").resize((32, 32)), dtype=np.float64).ravel()
            for path in sorted(tmp_path.glob("*/images/*.png"))
        ]
        assert np.corrcoef(thumbnails).min() > 0.9
        assert faults(check(tmp_path)) == []

    def test_blank_pictures_are_no_near_copies(self, tmp_path: Path):
        make(tmp_path)
        for path, level in (("train/images/1.png", 9), ("val/images/5.png", 10)):
            Image.new("RGB", SIZE[::-1], (level,) * 3).save(tmp_path / path)
        assert {code for _, code, _ in faults(check(tmp_path))} == {"image-blank"}


class TestFieldOfView:
    def test_counts_inside_only(self, tmp_path: Path):
        make(tmp_path)
        for split in SPLITS:
            (tmp_path / split / "fov").mkdir()
            for image in (tmp_path / split / "images").iterdir():
                view = np.zeros(SIZE, np.uint8)
                view[:, :40] = 255
                Image.fromarray(view).save(tmp_path / split / "fov" / image.name)
        result = check(tmp_path)
        assert faults(result) == []
        assert result.image_class_pixels["1"].tolist() == [48 * 32, 48 * 8]
        Image.fromarray(view[:20]).save(tmp_path / "train/fov/1.png")
        Image.fromarray(view * 0).save(tmp_path / "train/fov/2.png")
        (tmp_path / "train/fov/3.png").write_bytes(b"?")
        result = check(tmp_path)
        assert faults(result) == [
            ("error", "field-of-view-empty", "train/fov/2.png"),
            ("error", "field-of-view-size", "train/fov/1.png"),
            ("error", "field-of-view-unreadable", "train/fov/3.png"),
        ]
        assert {record.name for record in result.usable} == {"4", "5", "6", "7", "8"}

    def test_second_observer(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "test/masks_2nd").mkdir()
        for number, array in ((7, ids(size=(9, 9)) * 255), (8, ids() * 77)):
            Image.fromarray(array).save(tmp_path / f"test/masks_2nd/{number}.png")
        assert faults(check(tmp_path)) == [
            ("error", "second-mask-size", "test/masks_2nd/7.png"),
            ("error", "second-mask-values", "test/masks_2nd/8.png"),
        ]


class TestHash:
    def test_neither_folder_nor_order_nor_time_matters(self, tmp_path: Path):
        first = make(tmp_path / "one")
        second = tmp_path / "elsewhere" / "two"
        shutil.copytree(first, second)
        for path in second.rglob("*.png"):
            os.utime(path, (1, 1))
        assert check(first).data_hash == check(second).data_hash

    def test_any_content_split_or_group_matters(self, tmp_path: Path):
        make(tmp_path)
        (tmp_path / "classes.yaml").write_text("- {id: 0, name: a}\n- {id: 1, name: b}\n")
        hashes = [check(tmp_path).data_hash, check(tmp_path, group_pattern=r"(\d+\.)").data_hash]
        Image.fromarray(ids()[:, ::-1] * 255).save(tmp_path / "test/masks/8.png")
        hashes.append(check(tmp_path).data_hash)
        for kind in ("images", "masks"):
            shutil.move(tmp_path / f"val/{kind}/5.png", tmp_path / f"train/{kind}/5.png")
        hashes.append(check(tmp_path).data_hash)
        (tmp_path / "classes.yaml").write_text("- {id: 0, name: a}\n- {id: 1, name: c}\n")
        hashes.append(check(tmp_path).data_hash)
        assert len(set(hashes)) == 5

    def test_file_hashes(self, tmp_path: Path):
        result = check(make(tmp_path))
        assert len(result.file_hashes) == 16
        assert len(result.file_hashes[str(tmp_path / "val/masks/5.png")]) == 64


@needs_data
class TestRealSets:
    @pytest.mark.parametrize(
        ("data", "images"),
        [
            ("chase_db1/split_20_8.csv", 28),
            ("cataract_frames", 15),
            ("cataract_lens/retro", 16),
            ("cataract_lens/slit", 8),
        ],
    )
    def test_no_false_alarm(self, data: str, images: int):
        result = check_index(build_index(DATA / data))
        assert len(result.usable) == images
        assert faults(result) == []

    @pytest.mark.slow
    def test_no_false_alarm_at_full_size(self):
        result = check_index(build_index(DATA / "hrf"))
        assert len(result.usable) == 45
        assert faults(result) == []

    def test_many_infrared_frames(self, tmp_path: Path):
        started = time.monotonic()
        result = check_index(build_index(DATA / "inp_eye"))
        assert time.monotonic() - started < 60
        assert len(result.usable) == 1510
        assert faults(result) == []
        assert result.classes is not None
        assert result.classes.names == ("background", "iris", "pupil")

    def test_frames_of_one_eye_in_two_splits_are_seen(self, tmp_path: Path):
        names = sorted(path.name for path in (DATA / "inp_eye/images").glob("37_Left_*"))
        rows = [
            f"{DATA}/inp_eye/images/{name},{DATA}/inp_eye/masks/{name},{('train', 'train', 'val')[number % 3]}"
            for number, name in enumerate(names)
        ]
        (tmp_path / "split.csv").write_text("\n".join(["image,mask,split", *rows]))
        result = check_index(build_index(tmp_path))
        assert "look-alike-in-two-splits" in {item.code for item in result}


class TestARuleThatWasLearnt:
    """The rule of a model stands above what few masks seem to mean, and yields to what they clearly say."""

    ONE_TWO = MaskEncoding("values", ((1, 0), (2, 1)))

    def test_it_reads_masks_that_alone_would_mean_something_else(self, tmp_path):
        make(tmp_path, lambda array: Image.fromarray(np.full_like(array, 1)))
        alone = check(tmp_path, classes=default_classes(2))
        assert alone.class_pixels["test"][0] == 0
        found = check(tmp_path, classes=default_classes(2), encoding=self.ONE_TWO)
        assert found.encoding == self.ONE_TWO
        assert found.class_pixels["test"][1] == 0

    def test_one_bad_mask_does_not_overrule_it(self, tmp_path):
        make(tmp_path, lambda array: Image.fromarray(np.full_like(array, 1)))
        spoilt = np.ones(SIZE, np.uint8)
        spoilt[0, :3] = 7
        Image.fromarray(spoilt).save(tmp_path / "train/masks/1.png")
        found = check(tmp_path, classes=default_classes(2), encoding=self.ONE_TWO)
        assert found.encoding == self.ONE_TWO
        assert {record.name for record in found.index.records} - {record.name for record in found.usable} == {"1"}

    def test_masks_that_follow_another_rule_are_read_by_theirs(self, tmp_path):
        make(tmp_path)
        learnt = MaskEncoding("ids", ((0, 0), (1, 1)))
        found = check(tmp_path, classes=default_classes(2), encoding=learnt)
        assert found.encoding == MaskEncoding("values", ((0, 0), (255, 1)))
