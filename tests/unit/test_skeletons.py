from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ocuseg.phantom import draw_fundus
from ocuseg.training.losses import build_loss
from ocuseg.training.skeletons import skeletons, soft_skeletons, tubes

TERMS_OF_LINES = ("cldice", "skeleton_recall")


def _bar(thickness: int, rows: int = 21, columns: int = 40) -> Tensor:
    """A bar from edge to edge, about the middle row, (1, 1, rows, columns)."""
    mask = torch.zeros(1, 1, rows, columns)
    mask[..., rows // 2 - thickness // 2 : rows // 2 + thickness // 2 + 1, :] = 1
    return mask


def _loss(term: str, chances: Tensor, target: Tensor) -> float:
    """The term for certain predictions (N, 1, H, W) of 0 and 1."""
    ids = target[:, 0].to(torch.uint8)
    return build_loss({term: 1.0}, out_channels=1)((2 * chances - 1) * 100, ids, torch.ones(ids.shape)).item()


def test_soft_skeletons_are_monais() -> None:
    from monai.losses.cldice import soft_skel

    chances = torch.rand(2, 3, 24, 31, generator=torch.Generator().manual_seed(0))
    chances = torch.nn.functional.avg_pool2d(chances, 5, 1, 2)
    for thinnings in (0, 3, 5):
        found = soft_skeletons(chances, torch.ones(2, 1, 24, 31), thinnings)
        torch.testing.assert_close(found, soft_skel(chances, thinnings), atol=1e-6, rtol=0)


def test_what_does_not_count_is_as_if_the_image_ended_there() -> None:
    chances = torch.rand(2, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    counted = torch.zeros(2, 1, 20, 20)
    counted[..., 3:15, 5:18] = 1
    found, cut = soft_skeletons(chances * counted, counted), chances[..., 3:15, 5:18]
    torch.testing.assert_close(found[..., 3:15, 5:18], soft_skeletons(cut, torch.ones(2, 1, 12, 13)))
    assert not (found * (1 - counted)).any()


@pytest.mark.parametrize("thickness", [1, 3, 7, 11])
def test_the_soft_skeleton_of_a_bar_is_its_middle_row(thickness: int) -> None:
    found = soft_skeletons(0.7 * _bar(thickness), torch.ones(1, 1, 21, 40))[0, 0]
    assert (found[10] > 0.69).all()
    assert not found[:10].any()


def test_skeletons_are_thin_and_tubes_are_five_wide_inside_the_mask() -> None:
    masks = torch.cat([_bar(9), _bar(3), torch.zeros(1, 1, 21, 40)]).view(1, 3, 21, 40)
    lines, found = skeletons(masks), tubes(masks)
    middle = slice(10, 30)  # a skeleton is shorter than its bar
    assert lines[0, :, :, middle].sum(dim=1).tolist() == [[1.0] * 20, [1.0] * 20, [0.0] * 20]
    assert found[0, :, :, middle].sum(dim=1).tolist() == [[5.0] * 20, [3.0] * 20, [0.0] * 20]
    assert (found <= masks).all()


def test_a_half_found_line_by_hand() -> None:
    line, half = _bar(1), _bar(1)
    half[..., 20:] = 0
    # All of the prediction's line is right, half of the truth's is met: 1 - 2 * 1 * 0.5 / 1.5.
    assert _loss("cldice", half, line) == pytest.approx(1 / 3, abs=1e-4)
    assert _loss("skeleton_recall", half, line) == pytest.approx(1 / 2, abs=1e-4)
    # And as much of the prediction's is wrong as right: 1 - 0.5.
    beside = half.clone()
    beside[..., 2, :20] = 1
    assert _loss("cldice", beside, line) == pytest.approx(1 / 2, abs=1e-4)
    assert _loss("skeleton_recall", beside, line) == pytest.approx(1 / 2, abs=1e-4)


@pytest.mark.parametrize("term", TERMS_OF_LINES)
def test_the_mask_itself_costs_nothing(term: str) -> None:
    mask = torch.from_numpy(draw_fundus(1, 160).mask)[None, None].float()
    assert _loss(term, mask, mask) == pytest.approx(0, abs=1e-4)
    assert _loss(term, 1 - mask, mask) > 0.9


@pytest.mark.parametrize("term", TERMS_OF_LINES)
def test_a_gap_costs_more_than_as_many_pixels_at_the_border(term: str) -> None:
    mask = _bar(9)
    gap, border = mask.clone(), mask.clone()
    gap[..., 18:22] = 0
    border[..., 6, :36] = 0
    assert gap.sum() == border.sum()
    assert _loss("dice", gap, mask) == pytest.approx(_loss("dice", border, mask), abs=1e-6)
    assert _loss(term, gap, mask) > 3 * _loss(term, border, mask) + 0.02


@pytest.mark.parametrize("term", TERMS_OF_LINES)
def test_lines_of_the_whole_batch_are_pooled(term: str) -> None:
    mask = torch.cat([_bar(1), torch.zeros(1, 1, 21, 40)])
    assert _loss(term, mask, mask) == pytest.approx(0, abs=1e-4)  # an image without lines needs no definition
    half = mask.clone()
    half[..., 20:] = 0
    assert _loss(term, half, mask) == pytest.approx(_loss(term, half[:1], mask[:1]), abs=1e-6)


@pytest.mark.parametrize("term", TERMS_OF_LINES)
@pytest.mark.parametrize("out_channels", [1, 3])
def test_the_gradient_asks_for_the_line_that_is_missed(term: str, out_channels: int) -> None:
    target = _bar(5)[:, 0].to(torch.uint8) * max(1, out_channels - 1)
    logits = torch.full((1, out_channels, 21, 40), -1.0, requires_grad=True)
    build_loss({term: 1.0}, out_channels=out_channels)(logits, target, torch.ones(1, 21, 40)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[0, -1, 10, 8:32] < 0).all()


def test_of_several_classes_the_foreground_is_averaged() -> None:
    target: Any = torch.zeros(1, 1, 21, 40, dtype=torch.int64)
    target[..., 4, :], target[..., 15, :] = 1, 2
    logits = torch.nn.functional.one_hot(target[:, 0], 3).movedim(-1, 1).float() * 200
    logits[:, 1, 4, 20:], logits[:, 0, 4, 20:] = 0, 200  # half of the first line is missed
    value = {
        term: build_loss({term: 1.0}, out_channels=3)(logits, target[:, 0], torch.ones(1, 21, 40)).item()
        for term in TERMS_OF_LINES
    }
    assert value["cldice"] == pytest.approx((1 / 3 + 0) / 2, abs=1e-4)
    assert value["skeleton_recall"] == pytest.approx((1 / 2 + 0) / 2, abs=1e-4)
