"""What holds for every network, as a class of tests to inherit."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from ocuseg.networks import WithoutPadding, build_network, resolve_network


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def main_logits(logits: Tensor | tuple[Tensor, ...]) -> Tensor:
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
                network(images_of(2, network.in_channels, size, size))
        return network.eval()

    def test_the_default_has_its_number_of_parameters(self) -> None:
        with torch.device("meta"):
            network = build_network({"name": self.settings["name"]})
        assert sum(each.numel() for each in network.parameters()) == self.default_parameters

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 17), (8, 8)])
    def test_logits_are_as_large_as_the_image(self, network: Any, size: tuple[int, int]) -> None:
        for mode in (True, False):
            logits = main_logits(network.train(mode)(images_of(1, network.in_channels, *size)))
            assert logits.shape == (1, self.settings.get("out_channels", 1), *size)
            assert logits.isfinite().all()

    def test_padding_repeats_the_edge_and_is_cut_off_again(self, network: Any) -> None:
        multiple = network.multiple
        images = images_of(1, network.in_channels, multiple - 3, multiple - 1)
        padded = torch.cat([images, *[images[..., -1:, :]] * 3], dim=2)
        padded = torch.cat([padded, padded[..., -1:]], dim=3)
        with torch.no_grad():
            assert torch.equal(network(images), network(padded)[..., :-3, :-1])

    def test_an_image_is_predicted_alike_alone_and_in_a_batch(self, network: Any) -> None:
        images = images_of(3, network.in_channels, 40, 24)
        with torch.no_grad():
            torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-4, rtol=1e-4)

    def test_one_pixel_can_be_trained_on(self, network: Any) -> None:
        logits = network.train()(images_of(1, network.in_channels, 1, 1))
        sum(each.sum() for each in ([logits] if isinstance(logits, Tensor) else logits)).backward()
        assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())
        assert all(each.isfinite().all() for each in network.state_dict().values())

    def test_the_gradient_reaches_every_parameter(self, network: Any) -> None:
        size = max(32, network.multiple)
        logits = network.train()(images_of(2, network.in_channels, size, size))
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
        images = images_of(1, network.in_channels, 20, 30)
        with torch.no_grad():
            assert torch.equal(network(images), again(images))

    def test_channels_last_changes_nothing_but_speed(self, network: Any) -> None:
        images = images_of(2, network.in_channels, 32, 48)
        with torch.no_grad():
            expected = network(images)
            found = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)

    def test_bfloat16_stays_close_and_trains(self, network: Any) -> None:
        images = images_of(2, network.in_channels, 64, 64).to(memory_format=torch.channels_last)
        with torch.no_grad():
            expected = network(images)
            with torch.autocast("cpu", torch.bfloat16):
                found = network(images).float()
        assert (found - expected).abs().mean() < 0.1 * expected.std()
        with torch.autocast("cpu", torch.bfloat16):
            loss = main_logits(network.train()(images)).float().square().mean()
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
            images = images_of(batch, network.in_channels, rows * multiple, columns * multiple)
            (found,) = session.run(None, {"images": images.numpy()})
            with torch.no_grad():
                expected = network(images).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std() + 1e-4)
