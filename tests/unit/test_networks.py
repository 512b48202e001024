from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from contracts.networks import NetworkContract, images_of
from ocuseg.errors import UsageError
from ocuseg.networks import build_network, network_names, resolve_network
from ocuseg.networks.blocks import BatchNorm, GroupNorm, initialise, make_norm


class TestUNet(NetworkContract):
    settings: ClassVar = {"name": "unet", "width": 4, "out_channels": 3, "norm": "group", "dropout": 0.2}
    default_parameters = 31_037_633

    def test_its_levels_are_those_of_the_paper(self) -> None:
        with torch.device("meta"):
            network = build_network({"name": "unet"})
            features = network.encoder(torch.zeros(1, 3, 64, 96))
        assert [tuple(each.shape[1:]) for each in features] == [
            (64, 64, 96),
            (128, 32, 48),
            (256, 16, 24),
            (512, 8, 12),
            (1024, 4, 6),
        ]
        assert network.multiple == 16

    def test_dropout_acts_in_training_only(self, network: Any) -> None:
        images = images_of(1, 3, 32, 32)
        with torch.no_grad():
            assert torch.equal(network(images), network(images))
            network.train()
            assert not torch.equal(network(images), network(images))


class TestSmallUNet(NetworkContract):
    settings: ClassVar = {"name": "unet-small"}
    default_parameters = 482_737


class TestSmallUNetOfOtherParts(NetworkContract):
    settings: ClassVar = {
        "name": "unet-small",
        "width": 8,
        "in_channels": 2,
        "out_channels": 4,
        "norm": "instance",
        "activation": "leaky_relu",
        "upsampling": "bilinear",
        "deep_supervision": True,
    }
    default_parameters = 482_737

    def test_deep_supervision_gives_logits_of_every_level_while_training(self, network: Any) -> None:
        images = images_of(2, 2, 31, 17)
        logits = network.train()(images)
        assert [each.shape for each in logits] == [(2, 4, 31, 17)] * 3
        assert not torch.allclose(logits[0], logits[1])
        assert isinstance(network.eval()(images), Tensor)


class TestUNet256(NetworkContract):
    settings: ClassVar = {"name": "unet-256", "width": 4}
    default_parameters = 54_410_433

    def test_it_halves_a_picture_of_256_to_one_pixel(self) -> None:
        with torch.device("meta"):
            network = build_network({"name": "unet-256"})
            features = network.encoder(torch.zeros(1, 3, 256, 256))
        assert [each.shape[1] for each in features] == [64, 128, 256, 512, 512, 512, 512, 512]
        assert [each.shape[2] for each in features] == [128, 64, 32, 16, 8, 4, 2, 1]

    def test_norms_and_dropout_are_where_the_paper_has_them(self, network: Any) -> None:
        # Down: all but the outermost and the innermost; up: all but the outermost, which is the head.
        assert sum(isinstance(each, GroupNorm) for each in network.encoder.modules()) == 6
        assert sum(isinstance(each, GroupNorm) for each in network.decoder.modules()) == 7
        assert [each[-1].p for each in network.decoder.blocks] == [0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]

    def test_batch_norm_bears_one_image(self) -> None:
        network = build_network({**self.settings, "norm": "batch"}).train()
        logits = network(images_of(1, 3, 256, 256))
        logits.square().sum().backward()
        assert all(each.grad.any() and each.grad.isfinite().all() for each in network.parameters())

    def test_the_innermost_pixel_still_tells_pictures_apart(self, network: Any) -> None:
        innermost = network.encoder(images_of(2, 3, 256, 256))[-1]
        assert not torch.allclose(innermost[0], innermost[1])


class TestWNet(NetworkContract):
    settings: ClassVar = {"name": "wnet"}
    default_parameters = 70_049

    def test_the_first_network_says_what_it_found_while_training(self, network: Any) -> None:
        images = images_of(2, 3, 31, 17)
        assert isinstance(network(images), Tensor)
        main, first = network.train()(images)
        assert main.shape == first.shape == (2, 1, 31, 17)
        assert not torch.allclose(main, first)

    def test_the_second_sees_image_and_probabilities_of_the_first(self, network: Any) -> None:
        images = images_of(1, 3, 16, 16)
        second = build_network({"name": "unet", "in_channels": 4, "width": 9, "depth": 2, "upsampling": "bilinear"})
        second.load_state_dict({n: each for n, each in network.state_dict().items() if not n.startswith("first.")})
        with torch.no_grad():
            chances = network.first(images).sigmoid()
            assert torch.equal(network(images), second.eval()(torch.cat([images, chances], dim=1)))


class TestWNetOfManyClasses(NetworkContract):
    settings: ClassVar = {
        "name": "wnet", "width": 8, "out_channels": 3, "in_channels": 2, "norm": "group", "attention": "scse",
    }  # fmt: skip
    default_parameters = 70_049


class TestUNetWithGates(NetworkContract):
    settings: ClassVar = {"name": "unet-small", "width": 8, "attention": "gate", "norm": "group"}
    default_parameters = 482_737


class TestUNetWithExcitation(NetworkContract):
    settings: ClassVar = {"name": "unet-small", "width": 8, "attention": "scse", "deep_supervision": True}
    default_parameters = 482_737


class TestHRNet(NetworkContract):
    settings: ClassVar = {"name": "hrnet", "variant": "small-v1", "out_channels": 4}
    default_parameters = 3_934_701


class TestHRNetWithSqueezeExcitation(NetworkContract):
    settings: ClassVar = {"name": "hrnet", "variant": "small-v1", "attention": "se"}
    default_parameters = 3_934_701


class TestHRNetWithBlockAttention(NetworkContract):
    settings: ClassVar = {"name": "hrnet", "variant": "small-v1", "attention": "cbam", "in_channels": 2}
    default_parameters = 3_934_701


class TestHRNetWithSpatialExcitation(NetworkContract):
    settings: ClassVar = {"name": "hrnet", "variant": "small-v1", "attention": "scse", "fuse_upsampling": "nearest"}
    default_parameters = 3_934_701


class TestHRNetWithObjectContext(NetworkContract):
    settings: ClassVar = {
        "name": "hrnet", "variant": "small-v1", "attention": "ocr", "ocr_channels": [32, 16], "out_channels": 3,
    }  # fmt: skip
    default_parameters = 3_934_701


class TestHRNetWithObjectContextOfTwoClasses(NetworkContract):
    settings: ClassVar = {"name": "hrnet", "variant": "small-v1", "attention": "ocr", "ocr_channels": [32, 16]}
    default_parameters = 3_934_701


def test_every_name_is_under_contract() -> None:
    covered = {each.settings["name"] for each in NetworkContract.__subclasses__()}
    assert covered == set(network_names())


@pytest.mark.parametrize(("slope", "module"), [(0.0, nn.ReLU()), (0.2, nn.LeakyReLU(0.2))])
def test_initial_weights_keep_the_power_through_ten_layers(slope: float, module: nn.Module) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential()
    for _ in range(10):
        layers.extend([nn.Conv2d(128, 128, 3, padding=1, padding_mode="circular"), module])
    initialise(layers, slope)
    with torch.no_grad():
        features = layers(torch.randn(4, 128, 8, 8))
    assert 0.5 < features.square().mean() < 2  # a variance half as large would give 2^-10


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (4, 2, 1)])
def test_initial_weights_of_a_transposed_convolution_keep_the_variance(kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(128, 256, kernel, stride, padding)
    initialise(layer)
    with torch.no_grad():
        features = layer(torch.randn(4, 128, 16, 16).relu())
    assert features[..., 2:-2, 2:-2].var().item() == pytest.approx(1, abs=0.1)


def test_norms_of_one_value_are_defined() -> None:
    batch = BatchNorm(2).train()
    batch.running_mean.fill_(1.0)
    batch.running_var.fill_(4.0)
    one = torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(batch(one).flatten(), torch.tensor([1.0, 2.0]), atol=1e-4, rtol=0)
    assert batch.running_mean.tolist() == [1.0, 1.0]
    instance = GroupNorm(2, 2).train()
    nn.init.constant_(instance.bias, 0.5)
    torch.testing.assert_close(instance(one).flatten(), torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)


def test_instance_norm_is_pytorchs() -> None:
    features = images_of(2, 6, 5, 7)
    torch.testing.assert_close(make_norm("instance", 6)(features), nn.InstanceNorm2d(6)(features))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, ["unknown name None", "unet-256"]),
        ({"name": "unet256"}, ["unknown name 'unet256'", "did you mean 'unet-256'?"]),
        ({"name": ["unet"]}, ["unknown name"]),
        ({"name": "unet", "widht": 8}, ["network unet", "'widht'", "did you mean 'width'?", "deep_supervision"]),
        ({"name": "unet", "norm": "bach"}, ["norm", "did you mean 'batch'?", "instance, group"]),
        ({"name": "unet", "width": 0}, ["width 0", "greater than or equal to 1"]),
        ({"name": "unet", "width": "64"}, ["width '64'", "valid integer"]),
        ({"name": "unet", "dropout": 1.0}, ["dropout 1.0", "less than 1"]),
        ({"name": "unet-256", "activation": "relu"}, ["network unet-256", "unknown key 'activation'"]),
    ],
)
def test_wrong_settings_say_what_is_accepted(settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        build_network(settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_resolved_settings_are_complete_and_stay_as_they_are() -> None:
    resolved = resolve_network({"name": "unet-small", "norm": "group"})
    assert resolved == {
        "name": "unet-small",
        "in_channels": 3,
        "out_channels": 1,
        "width": 16,
        "depth": 3,
        "norm": "group",
        "activation": "relu",
        "upsampling": "transposed",
        "dropout": 0.0,
        "deep_supervision": False,
        "attention": "none",
    }
    assert resolve_network(resolved) == resolved
