from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ocuseg.training.augment import Augmentation
from ocuseg.training.settings import AugmentationSettings

_COLOURLESS = dict.fromkeys(("brightness", "contrast", "gamma", "colour", "blur", "noise"), 0.0)

geometries = st.builds(
    lambda **values: AugmentationSettings(**values, **_COLOURLESS),
    flip_horizontal=st.sampled_from([0.0, 0.5, 1.0]),
    flip_vertical=st.sampled_from([0.0, 0.5, 1.0]),
    rotation_degrees=st.sampled_from([0.0, 7.0, 90.0, 180.0]),
    scale=st.sampled_from([(1.0, 1.0), (0.8, 1.25), (1.2, 1.2)]),
    shift=st.sampled_from([0.0, 0.1, 0.5]),
    elastic=st.sampled_from([0.0, 0.01, 0.02]),
)
sizes = st.tuples(st.integers(1, 72), st.integers(1, 72))
seeds = st.integers(0, 2**31)


def _blocks(ids: tuple[int, ...], size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images whose colour says the id, in blocks of 12; the field of view is where the id is not 0."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (-(-length // 12) for length in size)
    chosen = torch.tensor(ids, dtype=torch.uint8)[torch.randint(0, len(ids), (2, rows, columns), generator=generator)]
    target = chosen.repeat_interleave(12, dim=1).repeat_interleave(12, dim=2)[:, : size[0], : size[1]]
    return target[:, None].expand(-1, 3, -1, -1), target, target > 0


def _far_from_edges(target: Tensor) -> Tensor:
    """Return (N, 1, h, w): whether all within 3 pixels have one id other than 0."""
    wide = functional.pad(target.float()[:, None], (3, 3, 3, 3))
    return (functional.max_pool2d(wide, 7, 1) == -functional.max_pool2d(-wide, 7, 1)) & (target > 0)[:, None]


@settings(max_examples=60, deadline=None)
@given(geometries, sizes, sizes, seeds)
def test_image_mask_and_field_of_view_move_together(
    chosen: AugmentationSettings, size: tuple[int, int], out_size: tuple[int, int], seed: int
) -> None:
    ids = (0, 1, 3, 120, 255)
    views, target, field_of_view = Augmentation(chosen)(*_blocks(ids, size, seed), out_size=out_size, generator=seed)
    assert views.shape == (2, 3, *out_size)
    assert target.shape == field_of_view.shape == (2, *out_size)
    assert set(target.unique().tolist()) <= {0, *ids}  # ids are never invented
    assert torch.equal(field_of_view, target > 0)
    # Where all neighbours within 3 pixels have one id, and lie in view and window, so has all the image is mixed of.
    even = _far_from_edges(target).expand_as(views)
    shown = (views * 255).round()
    assert torch.equal(shown[even], target[:, None].expand_as(views).float()[even])


def test_most_pixels_are_compared() -> None:
    """The property above is about something: in a view of blocks, many pixels are far from an edge."""
    chosen = AugmentationSettings(**{**_COLOURLESS, "rotation_degrees": 180.0, "elastic": 0.02})
    _, target, _ = Augmentation(chosen)(*_blocks((1, 120, 255), (96, 96), 0), out_size=(64, 64), generator=0)
    assert _far_from_edges(target).float().mean() > 0.2


@settings(max_examples=30, deadline=None)
@given(geometries, sizes, sizes, seeds)
def test_a_view_of_nothing_counts_nothing(
    chosen: AugmentationSettings, size: tuple[int, int], out_size: tuple[int, int], seed: int
) -> None:
    images, target, field_of_view = _blocks((0, 7), size, seed)
    _, _, inside = Augmentation(chosen)(
        images, target, torch.zeros_like(field_of_view), out_size=out_size, generator=seed
    )
    assert not inside.any()


@settings(max_examples=30, deadline=None)
@given(geometries, seeds)
def test_a_large_window_leaves_no_border(chosen: AugmentationSettings, seed: int) -> None:
    out, window = 48, 200  # the largest reach: half the diagonal over 0.8, the shift, four deviations of the elastic
    images, target, _ = _blocks((1, 2), (window, window), seed)
    _, _, inside = Augmentation(chosen)(
        images, target, torch.ones_like(target, dtype=torch.bool), out_size=(out, out), generator=seed
    )
    assert inside.all()
