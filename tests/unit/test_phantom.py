"""Drawn eyes: the same for the same seed, exact masks, believable, and not solved by a threshold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ocuseg.classes import read_classes
from ocuseg.errors import OutputError, UsageError
from ocuseg.field_of_view import estimate_field_of_view
from ocuseg.index import build_index
from ocuseg.phantom import (
    draw_eye,
    draw_fundus,
    draw_retro,
    draw_surgery,
    eye_classes,
    retro_classes,
    surgery_classes,
    write_eye_set,
    write_fundus_set,
    write_retro_set,
    write_surgery_set,
)
from ocuseg.phantom.texture import smooth_noise, soft_inside, stroke
from ocuseg.phantom.tree import draw_anatomy, grow_vessels


def best_dice(score: np.ndarray, vessel: np.ndarray) -> float:
    """The dice of the best threshold on `score`, high where a vessel is."""
    found = np.cumsum(vessel[np.argsort(-score, kind="stable")])
    return float((2 * found / (np.arange(1, found.size + 1) + vessel.sum())).max())


@pytest.fixture(scope="module")
def fundus():
    return [draw_fundus(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def diseased():
    return [draw_fundus(seed, diseased=True) for seed in range(12)]


class TestDrawFundus:
    def test_types_and_shapes(self, fundus):
        for drawn in fundus:
            assert drawn.image.shape == (320, 320, 3)
            assert drawn.image.dtype == drawn.mask.dtype == np.uint8
            assert drawn.field_of_view.dtype == np.bool_
            assert set(np.unique(drawn.mask)) == {0, 1}

    def test_the_seed_decides_all(self, fundus):
        again = draw_fundus(3)
        np.testing.assert_array_equal(again.image, fundus[3].image)
        np.testing.assert_array_equal(again.mask, fundus[3].mask)
        assert len({drawn.image.tobytes() for drawn in fundus}) == len(fundus)
        assert len({drawn.mask.tobytes() for drawn in fundus}) == len(fundus)

    def test_vessels_lie_in_the_field_of_view_and_are_as_many_as_in_real_eyes(self, fundus):
        shares = [drawn.mask[drawn.field_of_view].mean() for drawn in fundus]
        assert 0.08 < np.mean(shares) < 0.18
        assert min(shares) > 0.03
        assert not any(drawn.mask[~drawn.field_of_view].any() for drawn in fundus)

    def test_the_surround_is_dark_and_found(self, fundus):
        for drawn in fundus:
            assert drawn.image[~drawn.field_of_view].mean() < 25
            found = estimate_field_of_view(drawn.image)
            both = (found & drawn.field_of_view).sum()
            assert 2 * both / (found.sum() + drawn.field_of_view.sum()) > 0.97

    def test_vessels_are_darker_than_what_lies_beside_them(self, fundus):
        for drawn in fundus:
            vessel = drawn.mask > 0
            inner = ndimage.binary_erosion(drawn.field_of_view, iterations=6)
            beside = ndimage.binary_dilation(vessel, iterations=5) & ~ndimage.binary_dilation(vessel, iterations=2)
            green = drawn.image[..., 1]
            assert green[vessel & inner].mean() < 0.92 * green[beside & inner].mean()

    def test_a_threshold_does_not_solve_it_but_what_is_seen_does(self, fundus):
        green, local, vessels = [], [], []
        for drawn in fundus:
            inner = ndimage.binary_erosion(drawn.field_of_view, iterations=4)
            channel = drawn.image[..., 1].astype(np.float64)
            weight = ndimage.gaussian_filter(drawn.field_of_view.astype(np.float64), 8) + 1e-6
            around = ndimage.gaussian_filter(np.where(drawn.field_of_view, channel, 0), 8) / weight
            green.append(channel[inner])
            local.append(((around - ndimage.gaussian_filter(channel, 0.8)) / (around + 5))[inner])
            vessels.append(drawn.mask[inner] > 0)
        every = np.concatenate(vessels)
        assert best_dice(-np.concatenate(green), every) < 0.45
        assert np.mean([best_dice(-image, vessel) for image, vessel in zip(green, vessels, strict=True)]) < 0.5
        assert best_dice(np.concatenate(local), every) > 0.65

    @pytest.mark.parametrize("size", [16, 48, 96, (64, 200), (201, 99)])
    def test_any_size(self, size):
        drawn = draw_fundus(1, size)
        expected = (size, size) if isinstance(size, int) else size
        assert drawn.image.shape == (*expected, 3)
        assert drawn.mask.shape == drawn.field_of_view.shape == expected
        assert 0.02 < drawn.mask[drawn.field_of_view].mean() < 0.6

    def test_it_is_fast(self):
        seconds = []
        for seed in range(5):
            start = time.process_time()  # of this process, whatever else the machine does
            draw_fundus(seed)
            seconds.append(time.process_time() - start)
        assert min(seconds) < 0.15


class TestDiseasedFundus:
    def test_it_is_the_same_eye_with_the_same_vessels(self, fundus, diseased):
        for healthy, ill in zip(fundus, diseased, strict=True):
            np.testing.assert_array_equal(ill.mask, healthy.mask)
            np.testing.assert_array_equal(ill.field_of_view, healthy.field_of_view)
            assert (ill.image != healthy.image).any()
            np.testing.assert_array_equal(
                ill.image[~ndimage.binary_dilation(ill.field_of_view, iterations=12)] > 40, False
            )

    def test_the_seed_decides_all(self, diseased):
        np.testing.assert_array_equal(draw_fundus(5, diseased=True).image, diseased[5].image)

    def test_more_of_what_is_dark_or_bright_is_no_vessel(self, fundus, diseased):
        def spotted(drawn):
            inner = ndimage.binary_erosion(drawn.field_of_view, iterations=6) & (drawn.mask == 0)
            green = drawn.image[..., 1].astype(np.float64)
            around = ndimage.median_filter(green, 31)
            return (np.abs(green - around) > 0.15 * around)[inner].mean()

        before, after = (np.array([spotted(drawn) for drawn in some]) for some in (fundus, diseased))
        assert after.mean() > 1.3 * before.mean()

    def test_its_vessels_are_harder_to_find_by_a_filter(self, fundus, diseased):
        def dice(drawn):
            inner = ndimage.binary_erosion(drawn.field_of_view, iterations=6)
            green = drawn.image[..., 1].astype(np.float64)
            local = ndimage.gaussian_filter(green, 8) - ndimage.gaussian_filter(green, 0.8)
            return best_dice((local / (green + 5))[inner], drawn.mask[inner] > 0)

        assert np.mean([dice(drawn) for drawn in diseased]) < np.mean([dice(drawn) for drawn in fundus]) - 0.02

    @pytest.mark.parametrize("size", [16, 48, (64, 200), (201, 99)])
    def test_any_size(self, size):
        for seed in range(6):
            drawn = draw_fundus(seed, size, diseased=True)
            assert drawn.image.shape[:2] == drawn.mask.shape == ((size, size) if isinstance(size, int) else size)


class TestTree:
    def test_arteries_and_veins(self):
        random = np.random.default_rng(5)
        anatomy = draw_anatomy(random)
        arteries, veins = grow_vessels(anatomy, random, 0.005)
        assert veins.radii.max() > arteries.radii.max()
        for tree in (arteries, veins):
            assert len(tree.starts) > 200
            assert tree.radii.min() >= 0.005
            assert (tree.radii[:, 1] < tree.radii[:, 0]).all()
            fovea_px = np.hypot(*(tree.ends - anatomy.fovea).T)
            assert fovea_px.min() > 0.25 * anatomy.disc_diameter

    @pytest.mark.parametrize("seed", range(8))
    def test_vessels_begin_at_the_disc_or_fork_by_the_cubes(self, seed):
        random = np.random.default_rng(seed)
        anatomy = draw_anatomy(random)
        for tree in grow_vessels(anatomy, random, 0.006):
            before = {tuple(end): radius for end, radius in zip(tree.ends, tree.radii[:, 1], strict=True)}
            after: dict[tuple[float, ...], list[float]] = {}
            for start, radius in zip(tree.starts, tree.radii[:, 0], strict=True):
                after.setdefault(tuple(start), []).append(radius)
            assert max(map(len, after.values())) == 2
            for start, radii in after.items():
                if start in before:
                    assert sum(radius**3 for radius in radii) <= before[start] ** 3 * 1.000001
                    assert len(radii) == 1 or sum(radius**3 for radius in radii) > 0.99 * before[start] ** 3
                else:
                    assert np.hypot(*(np.array(start) - anatomy.disc)) < 0.3 * anatomy.disc_diameter


class TestTexture:
    def test_a_stroke_by_hand(self):
        starts, ends = np.array([[2.5, 3.5]]), np.array([[7.5, 3.5]])
        depth, axis = stroke((7, 10), starts, ends, np.array([[1.2, 1.2]]))
        assert depth[3, 5] == pytest.approx(1.2)
        assert depth[4, 5] == pytest.approx(np.sqrt(1.2**2 - 1))
        assert axis[3, 5] == pytest.approx(1)
        np.testing.assert_array_equal(np.flatnonzero(depth[:, 5]), [2, 3, 4])
        np.testing.assert_array_equal(np.flatnonzero(depth[3]), range(1, 9))

    def test_a_stroke_outside_the_picture_and_none_at_all(self):
        depth, _ = stroke((5, 5), np.array([[-20.0, 2]]), np.array([[-10.0, 2]]), np.array([[3.0, 3]]))
        assert not depth.any()
        assert not stroke((5, 5), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2)))[0].any()

    def test_smooth_noise(self):
        noise = smooth_noise(np.random.default_rng(0), (300, 200), 6)
        assert noise.shape == (300, 200)
        assert abs(noise.mean()) < 0.1
        assert 0.7 < noise.std() < 1.3
        assert np.abs(np.diff(noise, axis=0)).mean() < 0.35

    def test_soft_inside(self):
        np.testing.assert_allclose(soft_inside(np.array([-1, 0, 1], np.float32), 1), [1, 0.5, 0])


class TestDrawEye:
    def test_all_classes_are_drawn_and_nested(self):
        seen = set()
        for seed in range(8):
            drawn = draw_eye(seed, 128)
            assert drawn.image.shape == (128, 128, 3)
            assert drawn.field_of_view.all()
            seen |= set(np.unique(drawn.mask).tolist())
            assert {0, 1, 2} <= set(np.unique(drawn.mask).tolist())
            # Without instruments in front, the pupil and its cataract touch no background.
            pupil = (drawn.mask == 2) | (drawn.mask == 3)
            assert not (ndimage.binary_dilation(pupil) & (drawn.mask == 0)).any()
            assert not (ndimage.binary_dilation(drawn.mask == 3) & (drawn.mask == 0)).any()
        assert seen == set(range(len(eye_classes())))

    def test_the_seed_decides_all(self):
        np.testing.assert_array_equal(draw_eye(4, 64).image, draw_eye(4, 64).image)
        assert (draw_eye(4, 64).image != draw_eye(5, 64).image).any()

    @pytest.mark.parametrize("size", [24, (48, 90)])
    def test_any_size(self, size):
        drawn = draw_eye(0, size)
        assert drawn.image.shape[:2] == ((size, size) if isinstance(size, int) else size)


class TestSets:
    counts = {"train": 3, "val": 1, "test": 2}  # noqa: RUF012

    def test_fundus_set_is_the_retina_layout(self, tmp_path):
        calls = []
        root = write_fundus_set(
            tmp_path / "set", self.counts, seed=2, size=64, progress=lambda *call: calls.append(call)
        )
        assert calls == [(done, 6) for done in range(1, 7)]
        assert sorted(path.name for path in root.iterdir()) == ["classes.yaml", "test", "training", "validation"]
        assert read_classes(root / "classes.yaml").names == ("background", "vessel")
        index = build_index(root)
        assert index.layout == "retina"
        assert {split: len(index.of_split(split)) for split in self.counts} == self.counts
        assert not [finding for finding in index.findings if finding.level == "error"]
        assert all(record.field_of_view is not None for record in index.records)
        drawn = draw_fundus(2_000_001, 64)
        with Image.open(root / "training" / "masks" / "img_0001_mask.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.asarray(mask), drawn.mask)
        with Image.open(root / "training" / "images" / "img_0001.png") as image:
            np.testing.assert_array_equal(np.asarray(image), drawn.image)
        with Image.open(root / "training" / "field_of_view" / "img_0001.png") as field_of_view:
            np.testing.assert_array_equal(np.asarray(field_of_view) > 0, drawn.field_of_view)

    @pytest.mark.parametrize(
        ("write", "draw", "classes"),
        [
            (write_eye_set, draw_eye, eye_classes),
            (write_surgery_set, draw_surgery, surgery_classes),
            (write_retro_set, draw_retro, retro_classes),
        ],
    )
    def test_eye_sets_are_the_cataract_layout(self, write, draw, classes, tmp_path):
        root = write(tmp_path / "set", self.counts, size=(48, 64))
        index = build_index(root)
        assert index.layout == "cataract"
        assert {split: len(index.of_split(split)) for split in self.counts} == self.counts
        assert not [finding for finding in index.findings if finding.level == "error"]
        assert (root / "val" / "masks" / "mask4.png").is_file()
        assert read_classes(root / "classes.yaml").names == classes().names
        with Image.open(root / "train" / "images" / "image2.png") as image:
            np.testing.assert_array_equal(np.asarray(image), draw(2, (48, 64)).image)
        with Image.open(root / "train" / "masks" / "mask2.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), draw(2, (48, 64)).mask)

    def test_no_picture_is_drawn_twice(self, tmp_path):
        first = write_fundus_set(tmp_path / "a", self.counts, seed=0, size=32)
        second = write_fundus_set(tmp_path / "b", self.counts, seed=1, size=32)
        pictures = [path.read_bytes() for root in (first, second) for path in root.rglob("images/*.png")]
        assert len(pictures) == len(set(pictures)) == 12

    def test_a_share_of_the_fundus_photographs_is_of_diseased_eyes(self, tmp_path):
        def pictures(folder: str, share: float) -> list[bytes]:
            root = write_fundus_set(tmp_path / folder, {"train": 40}, seed=2, size=32, diseased=share)
            return [path.read_bytes() for path in sorted(root.rglob("images/*.png"))]

        none, some, every = pictures("none", 0), pictures("some", 0.4), pictures("every", 1)
        assert not set(none) & set(every)
        kinds = [some[k] == every[k] for k in range(40)]
        assert [some[k] == none[k] for k in range(40)] == [not ill for ill in kinds]
        assert 10 <= sum(kinds) <= 24

    @pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
    def test_a_share_out_of_range(self, tmp_path, share):
        with pytest.raises(UsageError, match="share from 0 to 1"):
            write_fundus_set(tmp_path / "set", {"train": 1}, diseased=share)

    @pytest.mark.parametrize(("counts", "message"), [({"trian": 1}, "unknown split"), ({"val": -1}, "0 or more")])
    def test_wrong_counts(self, tmp_path, counts, message):
        with pytest.raises(UsageError, match=message):
            write_fundus_set(tmp_path / "set", counts)


@pytest.mark.parametrize("write", [write_fundus_set, write_eye_set, write_surgery_set, write_retro_set])
def test_a_set_is_not_mixed_with_another(write, tmp_path):
    write(tmp_path / "set", {"train": 3, "test": 1}, size=32)
    kept = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*")}
    for counts in ({"train": 2, "test": 1}, {"train": 3}, {"train": 2, "val": 1, "test": 1}):
        with pytest.raises(OutputError, match=r"holds .*, which is not of this set; give another folder"):
            write(tmp_path / "set", counts, size=32)
    assert {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*")} == kept
    write(tmp_path / "set", {"train": 3, "test": 1}, seed=1, size=32)  # the same names, drawn anew
    assert {path for path in (tmp_path / "set").rglob("*.*") if path.read_bytes() != kept[path]} != set()


@pytest.mark.parametrize("write", [write_fundus_set, write_eye_set, write_surgery_set, write_retro_set])
def test_the_table_of_classes_comes_last_and_so_says_that_a_set_is_whole(write, tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "set", {"train": 3}, size=64, progress=stop)
    assert len(list((tmp_path / "set").rglob("*.png"))) >= 4
    assert not (tmp_path / "set" / "classes.yaml").exists()
    write(tmp_path / "set", {"train": 3}, size=64)
    assert (tmp_path / "set" / "classes.yaml").exists()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "set", {"train": 3}, seed=1, size=64, progress=stop)
    assert not (tmp_path / "set" / "classes.yaml").exists()
