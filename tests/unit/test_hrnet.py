from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ocuseg.errors import UsageError
from ocuseg.networks import build_network
from ocuseg.networks.attention import (
    AttentionGate,
    ConvolutionalBlockAttention,
    SpatialChannelExcitation,
    SqueezeExcitation,
)
from ocuseg.networks.ocr import ObjectContextHead

_NAMES = Path(__file__).parents[1] / "reference" / "hrnet_names.json.gz"
_TIMM = {
    "small-v1": "hrnet_w18_small",
    "small-v2": "hrnet_w18_small_v2",
    "w18": "hrnet_w18",
    "w32": "hrnet_w32",
    "w48": "hrnet_w48",
}
_DROPPED = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
# With 19 classes, in millions: Wang et al. 2021.
_MILLIONS = {"small-v1": 1.54, "small-v2": 3.94, "w18": 9.64, "w32": 29.55, "w48": 65.86}


def _on_meta(**settings: Any) -> Any:
    with torch.device("meta"):
        return build_network({"name": "hrnet", **settings})


@pytest.mark.parametrize("variant", _MILLIONS)
def test_the_number_of_parameters_is_the_published_one(variant: str) -> None:
    network = _on_meta(variant=variant, out_channels=19)
    assert sum(each.numel() for each in network.parameters()) / 1e6 == pytest.approx(_MILLIONS[variant], abs=0.005)


@pytest.mark.parametrize("variant", _TIMM)
def test_names_and_shapes_of_the_encoder_are_those_of_timm(variant: str) -> None:
    with gzip.open(_NAMES, "rt", encoding="utf-8") as file:
        stored = json.load(file)["models"][_TIMM[variant]]
    expected = {name: tuple(shape) for name, shape in stored.items() if not name.startswith(_DROPPED)}
    found = {name: tuple(value.shape) for name, value in _on_meta(variant=variant).encoder.state_dict().items()}
    assert found == expected


def test_four_resolutions_come_out() -> None:
    network = _on_meta(variant="w18")
    features = network.encoder(torch.zeros(1, 3, 64, 96, device="meta"))
    assert [tuple(each.shape[1:]) for each in features] == [(18, 16, 24), (36, 8, 12), (72, 4, 6), (144, 2, 3)]
    assert network.decoder(features)[0].shape == (1, 270, 16, 24)


def test_the_branches_are_enlarged_bilinearly_unless_told_otherwise() -> None:
    torch.manual_seed(0)
    bilinear = build_network({"name": "hrnet", "variant": "small-v1"}).eval()
    nearest = build_network({"name": "hrnet", "variant": "small-v1", "fuse_upsampling": "nearest"}).eval()
    nearest.load_state_dict(bilinear.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        different = bilinear.encoder(images)[0] - nearest.encoder(images)[0]
    assert different.abs().max() > 0.01
    modes = {each.mode for each in bilinear.modules() if isinstance(each, nn.Upsample)}
    assert modes == {"bilinear"}


@pytest.mark.parametrize("attention", ["se", "cbam", "scse", "ocr"])
def test_attention_is_one_switch_and_changes_the_logits(attention: str) -> None:
    torch.manual_seed(0)
    plain = build_network({"name": "hrnet", "variant": "small-v1"}).eval()
    network = build_network({"name": "hrnet", "variant": "small-v1", "attention": attention}).eval()
    network.encoder.load_state_dict(plain.encoder.state_dict())
    assert sum(p.numel() for p in network.parameters()) > sum(p.numel() for p in plain.parameters())
    with torch.no_grad():
        images = torch.randn(1, 3, 32, 32)
        assert not torch.allclose(network(images), plain(images))


def test_object_context_gives_auxiliary_logits_while_training() -> None:
    network = build_network({"name": "hrnet", "variant": "small-v1", "attention": "ocr", "ocr_channels": [16, 8]})
    logits = network.train()(torch.randn(2, 3, 33, 17))
    assert [tuple(each.shape) for each in logits] == [(2, 1, 33, 17)] * 2
    assert network.eval()(torch.randn(2, 3, 33, 17)).shape == (2, 1, 33, 17)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"variant": "w19"}, "did you mean 'w18'?"),
        ({"attention": "sse"}, "scse"),
        ({"ocr_channels": [0, 8]}, "greater than or equal to 1"),
    ],
)
def test_unknown_settings_say_what_is_accepted(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match="network hrnet") as caught:
        build_network({"name": "hrnet", **settings})
    assert part in str(caught.value)


def _set(module: nn.Module, value: float, bias: float = 0.0) -> None:
    nn.init.constant_(module.weight, value)  # type: ignore[arg-type]
    if getattr(module, "bias", None) is not None:
        nn.init.constant_(module.bias, bias)  # type: ignore[arg-type]


def test_squeeze_excitation_weighs_channels_by_their_averages() -> None:
    module = SqueezeExcitation(2)
    first, _, second = module.bottleneck
    nn.init.eye_(first.weight.view(2, 2))
    nn.init.zeros_(first.bias)
    nn.init.eye_(second.weight.view(2, 2))
    nn.init.zeros_(second.bias)
    features = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]]])  # averages 2 and 0
    expected = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]]]) * torch.tensor([2.0, 0.0]).sigmoid().view(1, 2, 1, 1)
    torch.testing.assert_close(module(features), expected)


def test_spatial_and_channel_excitation_are_added() -> None:
    module = SpatialChannelExcitation(2)
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            _set(each, 0.0)
    features = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(module(features), features)  # one half by channel, one half by place
    _set(module.places, 0.0, bias=-50.0)
    torch.testing.assert_close(module(features), features / 2)


def test_block_attention_weighs_channels_then_places() -> None:
    module = ConvolutionalBlockAttention(2)
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            _set(each, 0.0)
    features = torch.randn(1, 2, 9, 9)
    torch.testing.assert_close(module(features), features / 4)
    # A kernel that looks at the place itself: the mean and the maximum over channels.
    with torch.no_grad():
        module.places.weight[0, :, 3, 3] = 1.0
    half = features / 2
    expected = half * (half.mean(1, keepdim=True) + half.amax(1, keepdim=True)).sigmoid()
    torch.testing.assert_close(module(features), expected)


def test_a_gate_closes_where_the_coarser_level_says_so() -> None:
    gate = AttentionGate(2, 4, "batch").eval()
    for each in (gate.skip, gate.coarse, gate.weights):
        _set(each, 1.0)
    _set(gate.weights, 100.0, bias=-100.0)
    nn.init.eye_(gate.out[0].weight.view(2, 2))
    coarse = torch.zeros(1, 4, 2, 4)
    coarse[..., 2:] = 1.0  # the right half is open
    skip = torch.full((1, 2, 4, 8), 0.1)
    gated = gate(skip, coarse)
    assert gated[..., :2].abs().max() < 1e-6
    torch.testing.assert_close(gated[..., 6:], skip[..., 6:], rtol=1e-4, atol=1e-4)


def test_objects_are_the_means_of_their_regions() -> None:
    head = ObjectContextHead(4, 2, mid_channels=3, key_channels=2)
    pixels = torch.randn(1, 3, 2, 2)
    regions = torch.full((1, 2, 2, 2), -100.0)
    regions[0, 0, 0] = 100.0  # class 0 holds the upper row, class 1 the lower one
    regions[0, 1, 1] = 100.0
    objects = head.ocr_gather_head(pixels, regions)
    torch.testing.assert_close(objects[0, :, 0, 0], pixels[0, :, 0].mean(1))
    torch.testing.assert_close(objects[0, :, 1, 0], pixels[0, :, 1].mean(1))


def test_each_pixel_takes_the_object_that_it_resembles() -> None:
    block = ObjectContextHead(4, 2, mid_channels=2, key_channels=2).eval().ocr_distri_head.object_context_block
    for part in (block.f_pixel, block.f_object, block.f_down, block.f_up):
        for each in part.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.eye_(each.weight.view(2, 2))
    objects = torch.tensor([[40.0, 0.0], [0.0, 40.0]]).view(1, 2, 2, 1)  # channel x object
    pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # the left one is like object 0
    context = block(pixels, objects)
    torch.testing.assert_close(context[0, :, 0], 40 * torch.eye(2), atol=1e-2, rtol=1e-3)
