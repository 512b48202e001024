from __future__ import annotations

from pathlib import Path

import pytest

from ocuseg.errors import DataError, UsageError
from ocuseg.index import Index, build_index, find_images

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository")


def touch(root: Path, *names: str) -> Path:
    """Make empty files: an index opens none of them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def table(root: Path, text: str, name: str = "split.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def pairs(index: Index) -> dict[str, str | None]:
    return {record.image.name: record.mask and record.mask.name for record in index.records}


def codes(index: Index, *levels: str) -> list[str]:
    return sorted(item.code for item in index.findings if item.level in (levels or ("error",)))


class TestCataract:
    def test_image_and_mask_numbers(self, tmp_path: Path):
        touch(tmp_path, *(f"{s}/images/image{i}.png" for s in ("train", "val") for i in (1, 2, 10)))
        touch(tmp_path, *(f"{s}/masks/mask{i}.png" for s in ("train", "val") for i in (1, 2, 10)))
        index = build_index(tmp_path)
        assert (index.layout, index.pairing) == ("cataract", "image{id} with mask{id}")
        assert pairs(index) == {"image1.png": "mask1.png", "image2.png": "mask2.png", "image10.png": "mask10.png"}
        assert {record.name for record in index.of_split("val")} == {"val_image1", "val_image2", "val_image10"}
        assert all(record.mask.parent.parent == record.image.parent.parent for record in index.records)
        assert codes(index) == []
        assert not index.has_split("test")

    def test_one_picture_with_a_mask_of_another_number(self, tmp_path: Path):
        touch(tmp_path, "train/images/image1.png", "train/masks/mask10.png", "val/images/a.png", "val/masks/a.png")
        index = build_index(tmp_path)
        assert index.records[1].mask is None
        assert codes(index) == ["pairing-unknown"]

    def test_same_stem_and_another_suffix(self, tmp_path: Path):
        touch(tmp_path, "Train/Images/a.JPG", "Train/Masks/a.png", "VALID/images/b.jpeg", "VALID/masks/b.gif")
        index = build_index(tmp_path)
        assert [(record.name, record.split) for record in index.records] == [("a", "train"), ("b", "val")]
        assert index.pairing == "the same name"
        assert codes(index, "error", "warning") == []

    def test_files_of_the_system_are_ignored(self, tmp_path: Path):
        touch(tmp_path, "train/images/a.png", "train/masks/a.png", "val/images/b.png", "val/masks/b.png")
        touch(tmp_path, "train/images/.DS_Store", "train/images/._a.png", "train/masks/Thumbs.db", ".git/images/x.png")
        index = build_index(tmp_path)
        assert len(index.records) == 2
        assert codes(index, "error", "warning") == []

    def test_an_unknown_split_folder_is_not_passed_over(self, tmp_path: Path):
        touch(tmp_path, "train/images/a.png", "train/masks/a.png", "validate/images/b.png", "validate/masks/b.png")
        index = build_index(tmp_path)
        (finding,) = (item for item in index.findings if item.level == "error")
        assert (finding.code, finding.path) == ("split-unknown", "validate")
        assert {record.split for record in index.records} == {"train"}

    def test_two_folders_for_one_split(self, tmp_path: Path):
        for split in ("train", "training", "val"):
            touch(tmp_path, f"{split}/images/{split}.png", f"{split}/masks/{split}.png")
        assert codes(build_index(tmp_path)) == ["split-ambiguous"]

    def test_missing_folder_of_masks(self, tmp_path: Path):
        touch(tmp_path, "train/images/a.png", "train/label/a.png", "val/images/b.png", "val/masks/b.png")
        touch(tmp_path, "test/images/c.png")
        index = build_index(tmp_path)
        assert {(item.level, item.code, item.path) for item in index.findings if item.level != "note"} == {
            ("error", "folder-missing", "train"),
            ("warning", "test-without-masks", "test"),
        }

    def test_training_gives_validation_where_there_is_none(self, tmp_path: Path):
        touch(tmp_path, *(f"train/{kind}/{i}.png" for kind in ("images", "masks") for i in range(20)))
        index = build_index(tmp_path, split_ratios=(0.8, 0.2, 0.0))
        assert (len(index.of_split("train")), len(index.of_split("val"))) == (16, 4)
        assert "validation-from-training" in codes(index, "warning")


class TestRetina:
    def test_mask_suffix_and_extras(self, tmp_path: Path):
        for split in ("training", "validation", "test"):
            for number in ("0001", "0010"):
                touch(tmp_path, f"{split}/images/img_{number}.png", f"{split}/masks/img_{number}_mask.png")
                touch(tmp_path, f"{split}/fov/img_{number}_fov.png", f"{split}/masks_2nd/img_{number}_2nd.png")
        index = build_index(tmp_path)
        assert (index.layout, index.pairing) == ("retina", "{id} with {id}_mask")
        assert pairs(index) == {"img_0001.png": "img_0001_mask.png", "img_0010.png": "img_0010_mask.png"}
        assert {record.split for record in index.records} == {"train", "val", "test"}
        first = index.of_split("val")[0]
        assert first.field_of_view == tmp_path / "validation/fov/img_0001_fov.png"
        assert first.second_mask == tmp_path / "validation/masks_2nd/img_0001_2nd.png"
        assert codes(index, "error", "warning") == []

    def test_two_field_of_view_folders(self, tmp_path: Path):
        for folder in ("images", "masks", "fov", "field_of_view"):
            touch(tmp_path, f"training/{folder}/a.png", f"validation/{folder}/b.png")
        assert codes(build_index(tmp_path)) == ["field-of-view-ambiguous"] * 2

    def test_incomplete_field_of_view_is_said(self, tmp_path: Path):
        touch(
            tmp_path, *(f"{s}/{kind}/{i}.png" for s in ("train", "val") for kind in ("images", "masks") for i in "12")
        )
        touch(tmp_path, "train/fov/1.png", "train/fov/3.png")
        index = build_index(tmp_path)
        assert codes(index, "warning") == ["field-of-view-missing", "field-of-view-unpaired"]


class TestDrive:
    @pytest.fixture
    def drive(self, tmp_path: Path) -> Path:
        for number in range(21, 41):
            touch(tmp_path, f"training/images/{number}_training.tif", f"training/1st_manual/{number}_manual1.gif")
            touch(tmp_path, f"training/mask/{number}_training_mask.gif")
        for number in range(1, 21):
            touch(tmp_path, f"test/images/{number:02}_test.tif", f"test/1st_manual/{number:02}_manual1.gif")
            touch(tmp_path, f"test/mask/{number:02}_test_mask.gif", f"test/2nd_manual/{number:02}_manual2.gif")
        return tmp_path

    def test_as_published(self, drive: Path):
        index = build_index(drive)
        assert index.layout == "drive"
        assert "{id}_training with {id}_manual1" in index.pairing
        for record in index.records:
            number = record.name.split("_")[0]
            assert record.mask is not None
            assert record.field_of_view is not None
            assert record.mask.name == f"{number}_manual1.gif"
            assert record.field_of_view.name == f"{record.image.stem}_mask.gif"
            assert (record.second_mask is not None) == (record.split == "test")
            if record.second_mask:
                assert record.second_mask.name == f"{number}_manual2.gif"
        counts = [len(index.of_split(split)) for split in ("train", "val", "test")]
        assert counts == [16, 4, 20]
        assert codes(index, "error", "warning") == []

    def test_test_images_without_manual(self, drive: Path):
        for path in (drive / "test/1st_manual").iterdir():
            path.unlink()
        (drive / "test/1st_manual").rmdir()
        index = build_index(drive)
        assert codes(index, "error", "warning") == ["test-without-masks"]
        assert not index.has_split("test")


class TestFlat:
    @pytest.fixture
    def flat(self, tmp_path: Path) -> Path:
        return touch(
            tmp_path, *(f"{kind}/p{p}_{eye}.png" for kind in ("images", "masks") for p in range(10) for eye in "LR")
        )

    def test_split_by_ratio(self, flat: Path):
        index = build_index(flat)
        assert index.layout == "flat"
        assert [len(index.of_split(split)) for split in ("train", "val", "test")] == [14, 3, 3]
        assert "groups-unknown" in codes(index, "warning")

    def test_split_by_group(self, flat: Path):
        index = build_index(flat, group_pattern=r"^(p\d+)_")
        groups = [{record.group for record in index.of_split(split)} for split in ("train", "val", "test")]
        assert [len(group) for group in groups] == [7, 2, 1] or [len(group) for group in groups] == [7, 1, 2]
        assert set.union(*groups) == {f"p{p}" for p in range(10)}
        assert sum(map(len, groups)) == 10
        assert codes(index, "error", "warning") == []

    def test_seed(self, flat: Path):
        first, again, other = (build_index(flat, seed=seed) for seed in (0, 0, 1))
        assert first == again
        assert [record.split for record in first.records] != [record.split for record in other.records]

    def test_order_of_the_file_system_has_no_say(self, flat: Path, monkeypatch: pytest.MonkeyPatch):
        expected = build_index(flat)
        listed = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path), reverse=True)))
        assert build_index(flat) == expected

    def test_few_images_fill_the_splits_in_order(self, tmp_path: Path):
        touch(tmp_path, *(f"{kind}/{i}.png" for kind in ("images", "masks") for i in range(3)))
        assert {record.split for record in build_index(tmp_path).records} == {"train", "val", "test"}

    @pytest.mark.parametrize(
        "ratios", [(0.5, 0.5), (0.7, 0.2, 0.2), (0, 0.5, 0.5), (1.2, -0.2, 0), (float("nan"),) * 3]
    )
    def test_bad_ratios(self, flat: Path, ratios: tuple[float, ...]):
        with pytest.raises(UsageError, match="split_ratios"):
            build_index(flat, split_ratios=ratios)

    def test_group_pattern_that_does_not_match(self, flat: Path):
        touch(flat, "images/other.png", "masks/other.png")
        index = build_index(flat, group_pattern=r"^(p\d+)_")
        assert [(item.code, item.path) for item in index.findings if item.level == "error"] == [
            ("group-missing", "images/other.png")
        ]

    @pytest.mark.parametrize("pattern", ["(", "p", "(p)(1)"])
    def test_bad_group_pattern(self, flat: Path, pattern: str):
        with pytest.raises(UsageError, match="group_pattern"):
            build_index(flat, group_pattern=pattern)

    def test_images_in_subfolders_are_not_passed_over(self, flat: Path):
        touch(flat, "images/more/x.png", "images/notes.txt")
        index = build_index(flat)
        assert "folder-ignored" in codes(index, "warning")
        assert "file-ignored" in codes(index, "note")


class TestPairing:
    def flat(self, root: Path, images: list[str], masks: list[str], **settings: str) -> Index:
        touch(root, *(f"images/{name}" for name in images), *(f"masks/{name}" for name in masks))
        return build_index(root, **settings)

    @pytest.mark.parametrize(
        ("images", "masks"),
        [
            (["img_1", "img_10", "img_100"], ["img_1_mask", "img_10_mask", "img_100_mask"]),
            (["img_1", "img_10"], ["1", "10"]),
            (["0001", "0002"], ["0001_mask", "0002_mask"]),
            (["Image_01L", "Image_01R"], ["Image_01L_1stHO", "Image_01R_1stHO"]),
            (["case1_image_01", "case2_image_01"], ["case1_mask_01", "case2_mask_01"]),
            (["1_raw", "11_raw", "111_raw"], ["gt-1", "gt-11", "gt-111"]),
            (["1_2", "2_1"], ["1_2_seg", "2_1_seg"]),
            (["lena", "ada"], ["lena_mask", "ada_mask"]),
        ],
    )
    def test_common_rule(self, tmp_path: Path, images: list[str], masks: list[str]):
        index = self.flat(tmp_path, [f"{name}.png" for name in images], [f"{name}.png" for name in masks])
        assert pairs(index) == {f"{image}.png": f"{mask}.png" for image, mask in zip(images, masks, strict=True)}
        assert codes(index) == []

    @pytest.mark.parametrize(
        ("images", "masks"),
        [
            (["p1_1.png", "p2_1.png"], ["p1_2.png", "p2_2.png"]),  # the same person's other picture
            (["img_1.png", "img_2.png"], ["img_10.png", "img_20.png"]),
            (["img1.png", "img2.png", "img3.png"], ["img1_1.png", "img1_2.png", "img1_3.png"]),
            (["a1.png", "a2.png"], ["b1_2.png", "b2_1.png"]),
            (["1.png", "2.png"], ["01.png", "02.png"]),
            (["a.png", "b.png"], ["x.png", "y.png"]),
        ],
    )
    def test_never_the_wrong_file(self, tmp_path: Path, images: list[str], masks: list[str]):
        index = self.flat(tmp_path, images, masks)
        assert codes(index)
        wrong = [record for record in index.records if record.mask is not None and record.name != "img1"]
        assert wrong == []

    def test_a_number_is_never_cut(self, tmp_path: Path):
        index = self.flat(tmp_path, ["n1a.png", "n1b.png", "n12.png"], ["q_a.png", "q_b.png", "q_2.png"])
        assert pairs(index) == {"n1a.png": "q_a.png", "n1b.png": "q_b.png", "n12.png": None}
        assert codes(index) == ["mask-missing", "mask-unpaired"]

    def test_missing_and_left_over_masks_are_listed(self, tmp_path: Path):
        index = self.flat(tmp_path, ["img_1.png", "img_2.png", "img_10.png"], ["img_2.png", "img_10.png", "img_3.png"])
        assert pairs(index) == {"img_1.png": None, "img_2.png": "img_2.png", "img_10.png": "img_10.png"}
        found = {(item.code, item.path) for item in index.findings if item.level == "error"}
        assert found == {("mask-missing", "images/img_1.png"), ("mask-unpaired", "masks/img_3.png")}

    def test_missing_mask_under_a_rule(self, tmp_path: Path):
        index = self.flat(tmp_path, ["img_1.png", "img_10.png", "img_11.png"], ["img_10_mask.png", "img_11_mask.png"])
        assert pairs(index)["img_1.png"] is None
        assert codes(index) == ["mask-missing"]

    def test_two_observers_in_one_folder(self, tmp_path: Path):
        images = [f"Image_0{i}{eye}.jpg" for i in (1, 2) for eye in "LR"]
        masks = [f"{Path(name).stem}_{who}HO.png" for name in images for who in ("1st", "2nd")]
        index = self.flat(tmp_path, images, masks)
        (finding,) = (item for item in index.findings if item.level == "error")
        assert finding.code == "pairing-ambiguous"
        assert "{id}_1stHO" in finding.found
        assert "{id}_2ndHO" in finding.found
        assert "mask_pattern" in finding.remedy
        assert set(pairs(index).values()) == {None}
        stated = build_index(tmp_path, image_pattern="{id}.jpg", mask_pattern="{id}_1stHO.png")
        assert pairs(stated) == {name: f"{Path(name).stem}_1stHO.png" for name in images}
        assert codes(stated) == []

    def test_two_masks_of_one_name(self, tmp_path: Path):
        index = self.flat(tmp_path, ["a.png", "b.png"], ["a.png", "a.tif", "b.png"])
        (finding,) = (item for item in index.findings if item.level == "error")
        assert (finding.code, finding.path) == ("pairing-ambiguous", "images/a.png")
        assert "a.tif" in finding.found
        assert pairs(index) == {"a.png": None, "b.png": "b.png"}

    def test_two_images_of_one_name(self, tmp_path: Path):
        index = self.flat(tmp_path, ["a.png", "a.jpg", "b.png"], ["a.png", "b.png"])
        assert codes(index) == ["pairing-ambiguous"]
        assert pairs(index) == {"a.png": None, "a.jpg": None, "b.png": "b.png"}
        assert len({record.name for record in index.records}) == 3

    def test_pattern_with_a_folder(self, tmp_path: Path):
        touch(tmp_path, "photos/1.jpg", "photos/1.txt.jpg", "av/1_AVmanual.png", "av/1_vessel.png")
        index = build_index(tmp_path, image_pattern="photos/{id}.jpg", mask_pattern="av/{id}_AVmanual.png")
        assert pairs(index)["1.jpg"] == "1_AVmanual.png"

    def test_pattern_with_two_parts_and_a_wildcard(self, tmp_path: Path):
        index = self.flat(
            tmp_path,
            ["7_left_a.png", "7_right_b.png"],
            ["7-right.tif", "7-left.tif", "other.tif"],
            image_pattern="{id}_{eye}_?.png",
            mask_pattern="{id}-{eye}.*",
        )
        assert pairs(index) == {"7_left_a.png": "7-left.tif", "7_right_b.png": "7-right.tif"}
        assert codes(index) == []

    def test_bad_patterns(self, tmp_path: Path):
        touch(tmp_path, "images/a.png", "masks/a.png")
        with pytest.raises(UsageError, match="mask_pattern"):
            build_index(tmp_path, mask_pattern="*.png")
        with pytest.raises(UsageError, match="image_pattern"):
            build_index(tmp_path, image_pattern="{id}_{id}.png")
        with pytest.raises(UsageError, match="different parts"):
            build_index(tmp_path, image_pattern="{id}.png", mask_pattern="{eye}.png")

    def test_many_files_are_fast(self, tmp_path: Path):
        names = [f"{p}_{eye}_{n}" for p in range(5) for eye in ("Left", "Right") for n in range(150)]
        index = self.flat(tmp_path, [f"{n}.png" for n in names], [f"{n}_mask.png" for n in names])
        assert pairs(index) == {f"{n}.png": f"{n}_mask.png" for n in names}


class TestSplitFile:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        return touch(tmp_path, *(f"{kind}/{i}.png" for kind in ("images", "masks") for i in range(4)))

    def test_columns(self, data: Path):
        touch(data, "fov/0.png")
        path = table(
            data,
            "\ufeffImage,mask,field_of_view,split,group,fold,severity\n"
            "images/0.png,masks/0.png,fov/0.png,training,a,1,mild\n"
            "images/1.png,masks/1.png,,valid,b,2,\n"
            "\n"
            "images/2.png,masks/2.png,,Test,c,3,heavy\n",
        )
        index = build_index(path)
        assert (index.root, index.layout, index.pairing) == (data, "split file", "as listed in split.csv")
        assert [record.split for record in index.records] == ["train", "val", "test"]
        assert [record.group for record in index.records] == ["a", "b", "c"]
        assert index.records[0].columns == {"fold": "1", "severity": "mild"}
        assert index.records[0].field_of_view == data / "fov/0.png"
        assert [(item.level, item.code) for item in index.findings] == [("note", "images-unlisted")]

    def test_semicolons_and_backslashes(self, data: Path):
        path = table(data, "image;mask;split\nimages\\0.png;masks\\0.png;train\nimages\\1.png;masks\\1.png;val\n")
        assert pairs(build_index(path)) == {"0.png": "0.png", "1.png": "1.png"}

    def test_found_in_the_folder(self, data: Path):
        table(data, "image,mask,split\nimages/3.png,masks/3.png,val\nimages/1.png,masks/1.png,train\n", "split_a.csv")
        index = build_index(data)
        assert index.layout == "split file"
        assert [record.name for record in index.records] == ["1", "3"]
        table(data, "image,mask\nimages/1.png,masks/1.png\n", "split_b.csv")
        with pytest.raises(UsageError, match=r"split_a\.csv, split_b\.csv"):
            build_index(data)

    def test_another_table_beside_it_is_passed_over(self, data: Path):
        table(data, "image,mask,split\nimages/1.png,masks/1.png,train\n", "split_a.csv")
        table(data, "split,images\ntrain,3\n", "split_counts.csv")
        assert len(build_index(data).records) == 1

    def test_a_cell_longer_than_any_name_is_a_missing_file(self, data: Path):
        long = "n" * 300
        rows = f"images/0.png,masks\\{long}.png,train\n{long}.png,masks/1.png,train\n"
        index = build_index(table(data, f"image,mask,split\n{rows}"))
        assert codes(index) == ["image-missing", "mask-missing"]

    def test_every_bad_row_is_listed(self, data: Path):
        path = table(
            data,
            "image,mask,split,field_of_view\n"
            "images/0.png,masks/0.png,train,\n"
            "images/0.png,masks/1.png,train,\n"
            "images/9.png,masks/1.png,train,\n"
            "images/1.png,masks/9.png,val,\n"
            "images/2.png,,test,\n"
            "images/3.png,masks/0.png,holdout,fov/none.png\n"
            ",masks/3.png,test,\n",
        )
        index = build_index(path)
        assert codes(index) == [
            "field-of-view-missing",
            "image-missing",
            "image-missing",
            "mask-missing",
            "mask-missing",
            "mask-shared",
            "row-duplicated",
            "split-unknown",
        ]
        assert [record.name for record in index.records] == ["0", "1", "2", "3"]
        duplicated = next(item for item in index.findings if item.code == "row-duplicated")
        assert "line 3" in duplicated.expected
        assert "line 2" in duplicated.found
        unknown = next(item for item in index.findings if item.code == "split-unknown")
        assert "'holdout'" in unknown.found
        assert "line 7" in unknown.expected

    def test_split_missing_in_some_rows(self, data: Path):
        path = table(data, "image,mask,split\nimages/0.png,masks/0.png,train\nimages/1.png,masks/1.png,\n")
        index = build_index(path)
        assert codes(index) == ["split-missing"]
        assert index.records[1].split is None

    def test_without_splits_it_is_divided_by_ratio(self, data: Path):
        path = table(data, "image,mask,group\n" + "".join(f"images/{i}.png,masks/{i}.png,{i // 2}\n" for i in range(4)))
        index = build_index(path)
        assert {record.split for record in index.records} == {"train", "val"}
        assert index.records[0].split == index.records[1].split

    def test_mask_that_is_the_image(self, data: Path):
        path = table(data, "image,mask,split\nimages/0.png,images/0.png,train\nimages/1.png,masks/1.png,val\n")
        assert codes(build_index(path)) == ["mask-shared"]

    def test_second_observer_beside_the_masks(self, data: Path):
        touch(data, "masks_2nd/0_2ndHO.png", "masks_2nd/1_2ndHO.png", "masks_2nd/3_2ndHO.png")
        rows = "".join(f"images/{i}.png,masks/{i}.png,{s}\n" for i, s in enumerate(("train", "val", "test")))
        index = build_index(table(data, "image,mask,split\n" + rows))
        second = [record.second_mask and record.second_mask.name for record in index.records]
        assert second == ["0_2ndHO.png", "1_2ndHO.png", None]
        assert codes(index, "warning") == ["second-mask-missing"]

    def test_field_of_view_beside_the_images_without_the_column(self, data: Path):
        touch(data, *(f"fov/{i}.png" for i in range(4)))
        rows = "images/0.png,masks/0.png,train\nimages/1.png,masks/1.png,val\n"
        assert build_index(table(data, "image,mask,split\n" + rows)).records[1].field_of_view == data / "fov/1.png"
        with_column = table(data, "image,mask,split,field_of_view\nimages/0.png,masks/0.png,train,\n")
        assert build_index(with_column).records[0].field_of_view is None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("picture,mask\na,b\n", "'image'"),
            ("image,label\na,b\n", "'mask'"),
            ("image,mask,mask\na,b,c\n", "twice"),
            ("image,mask\n", "lists no images"),
            ("", "'image'"),
        ],
    )
    def test_tables_that_are_none(self, data: Path, text: str, message: str):
        path = table(data, text)
        with pytest.raises(DataError, match=message):
            build_index(path)
        with pytest.raises(DataError, match=message):
            build_index(data)

    def test_binary_file(self, data: Path):
        (data / "split.csv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(DataError, match=r"split\.csv: cannot be read"):
            build_index(data)

    def test_patterns_are_said_to_be_unused(self, data: Path):
        path = table(data, "image,mask,split\nimages/0.png,masks/0.png,train\nimages/1.png,masks/1.png,val\n")
        assert "pattern-unused" in codes(build_index(path, mask_pattern="{id}.png"), "warning")

    def test_names_stay_unique(self, tmp_path: Path):
        touch(tmp_path, *(f"{d}/{kind}/x.png" for d in ("a", "b", "c") for kind in ("images", "masks")))
        rows = "".join(
            f"{d}/images/x.png,{d}/masks/x.png,{s}\n" for d, s in (("a", "train"), ("b", "train"), ("c", "val"))
        )
        names = [record.name for record in build_index(table(tmp_path, "image,mask,split\n" + rows)).records]
        assert len({name.casefold() for name in names}) == 3


class TestBadPaths:
    def test_missing(self, tmp_path: Path):
        with pytest.raises(UsageError, match="does not exist"):
            build_index(tmp_path / "none")

    def test_a_file_that_is_no_table(self, tmp_path: Path):
        touch(tmp_path, "a.png")
        with pytest.raises(UsageError, match="no folder and no CSV"):
            build_index(tmp_path / "a.png")

    def test_empty_folder(self, tmp_path: Path):
        with pytest.raises(DataError, match="empty folder"):
            build_index(tmp_path)

    def test_unknown_layout_points_inside(self, tmp_path: Path):
        touch(tmp_path, "unzipped/train/images/a.png", "unzipped/train/masks/a.png", "readme.txt")
        with pytest.raises(DataError, match="give unzipped/ inside it"):
            build_index(tmp_path)
        touch(tmp_path, "more.png")
        with pytest.raises(DataError, match="no known layout"):
            build_index(touch(tmp_path / "other", "x.png"))

    def test_images_without_masks(self, tmp_path: Path):
        assert codes(build_index(touch(tmp_path, "images/a.png"))) == ["folder-missing"]

    def test_folders_without_files(self, tmp_path: Path):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        assert codes(build_index(tmp_path)) == ["folder-empty"]

    def test_classes_file(self, tmp_path: Path):
        touch(tmp_path, "images/a.png", "masks/a.png")
        assert build_index(tmp_path).classes_file is None
        touch(tmp_path, "classes.yaml")
        assert build_index(tmp_path).classes_file == tmp_path / "classes.yaml"


class TestFindImages:
    def test_folder_and_files(self, tmp_path: Path):
        touch(tmp_path, "b.png", "a.TIFF", ".c.png", "notes.txt", "deep/d.png", "scan.xyz")
        assert find_images(tmp_path) == [tmp_path / "a.TIFF", tmp_path / "b.png"]
        given = [tmp_path / "scan.xyz", tmp_path, str(tmp_path / "b.png")]
        assert find_images(given) == [tmp_path / "scan.xyz", tmp_path / "a.TIFF", tmp_path / "b.png"]

    def test_errors(self, tmp_path: Path):
        with pytest.raises(UsageError, match="does not exist"):
            find_images([tmp_path / "none.png"])
        with pytest.raises(DataError, match="holds no image"):
            find_images(tmp_path)


@needs_data
class TestRealSets:
    def test_chase(self):
        with pytest.raises(UsageError, match="several split files"):
            build_index(DATA / "chase_db1")
        index = build_index(DATA / "chase_db1" / "split_20_8.csv")
        assert [len(index.of_split(split)) for split in ("train", "val", "test")] == [16, 4, 8]
        for record in index.records:
            assert record.mask is not None
            assert record.second_mask is not None
            assert record.mask.stem == f"{record.name}_1stHO"
            assert record.second_mask.stem == f"{record.name}_2ndHO"
        assert index.findings == ()

    @pytest.mark.parametrize(
        ("folder", "images"),
        [
            ("hrf", 45),
            ("inp_eye", 1510),
            ("cataract_frames", 15),
            ("cataract_lens/retro", 16),
            ("cataract_lens/slit", 8),
        ],
    )
    def test_others(self, folder: str, images: int):
        index = build_index(DATA / folder)
        assert (len(index.records), index.layout, index.findings) == (images, "split file", ())
        assert {record.split for record in index.records} == {"train", "val", "test"}
        assert all(record.mask and record.mask.stem == record.image.stem for record in index.records)
        assert (index.classes_file is not None) == (folder != "hrf")
