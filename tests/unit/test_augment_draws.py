from __future__ import annotations

import torch

from ocuseg.training.augment_draws import Draws

CPU = torch.device("cpu")


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_later_names_left_the_earlier_ones_and_the_generator_as_they_were() -> None:
    mine, plain = _generator(), _generator()
    draws = Draws(4, (0, 1), mine, CPU)
    expected = torch.rand(17, 4, generator=plain)  # the seventeen names that were first
    torch.randint(1 << 62, (2,), generator=plain)
    assert torch.equal(draws.share("rotation"), expected[0])
    assert torch.equal(draws.share("noise"), expected[16])
    assert torch.equal(torch.rand(3, generator=mine), torch.rand(3, generator=plain))


def test_every_name_has_its_own_numbers_and_every_seed_others() -> None:
    draws, others = Draws(8, (0, 1), _generator(), CPU), Draws(8, (0, 1), torch.Generator().manual_seed(6), CPU)
    names = (*Draws._NAMES, *Draws._LATER_NAMES)
    assert len({tuple(draws.share(name).tolist()) for name in names}) == len(names)
    for name in names:
        assert not torch.equal(draws.share(name), others.share(name))


def test_a_part_has_its_rows_of_the_whole() -> None:
    whole, last = Draws(6, (0, 1), _generator(), CPU), Draws(2, (2, 3), _generator(), CPU)
    assert (last.whole, last.rows) == (6, slice(4, 6))
    for name in ("rotation", "tone_3", "jpeg_x"):
        assert torch.equal(last.share(name), whole.share(name)[4:])


def test_numbers_lie_in_their_ranges() -> None:
    draws = Draws(500, (0, 1), _generator(), CPU)
    for values, low, high in (
        (draws.between("blur_px", 2.0, 3.0), 2.0, 3.0),
        (draws.either_way("tilt_x", 0.5), -0.5, 0.5),
        (draws.factor("tone_0", 1.0), 0.5, 2.0),
    ):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
