"""The HRNet encoder against stored features of timm's, which `make_hrnet_names.py` made with the same formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ocuseg.networks import build_network
from reference.hrnet_formula import formula_images, formula_state

STORED = Path(__file__).with_name("hrnet_features.npz")
TIMM = {"small-v1": "hrnet_w18_small", "small-v2": "hrnet_w18_small_v2", "w18": "hrnet_w18"}


def _features(variant: str, fuse_upsampling: str) -> list[np.ndarray]:
    network = build_network({"name": "hrnet", "variant": variant, "fuse_upsampling": fuse_upsampling}).eval()
    shapes = {
        name: tuple(value.shape)
        for name, value in network.encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state = {name: torch.from_numpy(value) for name, value in formula_state(shapes).items()}
    network.encoder.load_state_dict(state, strict=False)
    with torch.inference_mode():
        return [each.numpy() for each in network.encoder(torch.from_numpy(formula_images()))]


@pytest.mark.parametrize("variant", TIMM)
def test_the_encoder_computes_what_that_of_timm_computes(variant: str) -> None:
    with np.load(STORED) as stored:
        expected = [stored[f"{TIMM[variant]}_{number}"] for number in range(4)]
    found = _features(variant, "nearest")
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0.02, "features that are all alike would prove nothing"
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_bilinear_encoder_computes_something_else() -> None:
    with np.load(STORED) as stored:
        assert np.abs(_features("small-v1", "bilinear")[0] - stored["hrnet_w18_small_0"]).max() > 0.01
