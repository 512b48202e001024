from __future__ import annotations

import io
import json
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocuseg.errors import UsageError
from ocuseg.networks import WithoutPadding, build_network, network_names, resolve_network
from ocuseg.networks.blocks import BatchNorm, GroupNorm, initialise, make_norm


def _images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _main(logits: Tensor | tuple[Tensor, ...]) -> Tensor:
    return logits if isinstance(logits, Tensor) else logits[0]


class NetworkContract:
    """What holds for every network; a subclass names one and shrinks it so that the tests are quick."""

    settings: ClassVar[dict[str, Any]]
    default_parameters: ClassVar[int]

    @pytest.fixture
    def network(self) -> Any:
        torch.manual_seed(0)
        network = build_network(self.settings)
        # Running statistics that are not the initial ones, as after training.
        size = 2 * network.multiple
        with torch.no_grad():
            for _ in range(3):
                network(_images(2, network.in_channels, size, size))
        return network.eval()

    def test_the_default_has_its_number_of_parameters(self) -> None:
        with torch.device("meta"):
            network = build_network({"name": self.settings["name"]})
        assert sum(each.numel() for each in network.parameters()) == self.default_parameters

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 17), (8, 8)])
    def test_logits_are_as_large_as_the_image(self, network: Any, size: tuple[int, int]) -> None:
        for mode in (True, False):
            logits = _main(network.train(mode)(_images(1, network.in_channels, *size)))
            assert logits.shape == (1, self.settings.get("out_channels", 1), *size)
            assert logits.isfinite().all()

    def test_padding_repeats_the_edge_and_is_cut_off_again(self, network: Any) -> None:
        multiple = network.multiple
        images = _images(1, network.in_channels, multiple - 3, multiple - 1)
        padded = torch.cat([images, *[images[..., -1:, :]] * 3], dim=2)
        padded = torch.cat([padded, padded[..., -1:]], dim=3)
        with torch.no_grad():
            assert torch.equal(network(images), network(padded)[..., :-3, :-1])

    def test_an_image_is_predicted_alike_alone_and_in_a_batch(self, network: Any) -> None:
        images = _images(3, network.in_channels, 40, 24)
        with torch.no_grad():
            torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-4, rtol=1e-4)

    def test_one_pixel_can_be_trained_on(self, network: Any) -> None:
        logits = network.train()(_images(1, network.in_channels, 1, 1))
        sum(each.sum() for each in ([logits] if isinstance(logits, Tensor) else logits)).backward()
        assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())
        assert all(each.isfinite().all() for each in network.state_dict().values())

    def test_the_gradient_reaches_every_parameter(self, network: Any) -> None:
        size = max(32, network.multiple)
        logits = network.train()(_images(2, network.in_channels, size, size))
        # Squares, since the plain sum of a normalised feature is constant.
        sum(each.square().sum() for each in ([logits] if isinstance(logits, Tensor) else logits)).backward()
        without = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]
        assert without == []

    def test_saved_weights_give_the_same_logits(self, network: Any) -> None:
        file = io.BytesIO()
        torch.save(network.state_dict(), file)
        file.seek(0)
        again = build_network(json.loads(json.dumps(resolve_network(self.settings)))).eval()
        again.load_state_dict(torch.load(file, weights_only=True))
        images = _images(1, network.in_channels, 20, 30)
        with torch.no_grad():
            assert torch.equal(network(images), again(images))

    def test_channels_last_changes_nothing_but_speed(self, network: Any) -> None:
        images = _images(2, network.in_channels, 32, 48)
        with torch.no_grad():
            expected = network(images)
            found = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)

    def test_bfloat16_stays_close_and_trains(self, network: Any) -> None:
        images = _images(2, network.in_channels, 64, 64).to(memory_format=torch.channels_last)
        with torch.no_grad():
            expected = network(images)
            with torch.autocast("cpu", torch.bfloat16):
                found = network(images).float()
        assert (found - expected).abs().mean() < 0.1 * expected.std()
        with torch.autocast("cpu", torch.bfloat16):
            loss = _main(network.train()(images)).float().square().mean()
        loss.backward()
        assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)

    def test_the_seed_decides_the_weights(self) -> None:
        def weights(seed: int) -> Tensor:
            torch.manual_seed(seed)
            return torch.cat([each.flatten() for each in build_network(self.settings).parameters()])

        assert torch.equal(weights(3), weights(3))
        assert not torch.equal(weights(3), weights(4))

    @pytest.mark.slow
    def test_the_onnx_file_agrees_at_other_sizes(self, network: Any) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        exported = WithoutPadding(network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of its own internals
            program = torch.onnx.export(
                exported,
                (exported.example(),),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=exported.dynamic_shapes,
                dynamo=True,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
        multiple = network.multiple
        factors = ((1, 1, 1), (3, 2, 5)) if multiple < 256 else ((1, 1, 1), (1, 2, 1))
        for batch, rows, columns in factors:
            images = _images(batch, network.in_channels, rows * multiple, columns * multiple)
            (found,) = session.run(None, {"images": images.numpy()})
            with torch.no_grad():
                expected = network(images).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std() + 1e-4)


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
        images = _images(1, 3, 32, 32)
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
        images = _images(2, 2, 31, 17)
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
        logits = network(_images(1, 3, 256, 256))
        logits.square().sum().backward()
        assert all(each.grad.any() and each.grad.isfinite().all() for each in network.parameters())

    def test_the_innermost_pixel_still_tells_pictures_apart(self, network: Any) -> None:
        innermost = network.encoder(_images(2, 3, 256, 256))[-1]
        assert not torch.allclose(innermost[0], innermost[1])


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
    features = _images(2, 6, 5, 7)
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
    }
    assert resolve_network(resolved) == resolved
