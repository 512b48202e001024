from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ocuseg.errors import ModelError
from ocuseg.networks import SegmentationNetwork, build_network
from ocuseg.training.pretrained import load_encoder_weights

Weights = dict[str, torch.Tensor]


def _network(seed: int, **settings: Any) -> SegmentationNetwork:
    torch.manual_seed(seed)
    network = build_network({"name": "hrnet", "variant": "small-v1", **settings})
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def published() -> Weights:
    """An ImageNet checkpoint by its names: an encoder's random weights and a classifier."""
    weights = _network(1).encoder.state_dict()
    return weights | {"incre_modules.0.0.conv1.weight": torch.zeros(2), "classifier.weight": torch.zeros(1000, 8)}


def _features(network: SegmentationNetwork) -> list[torch.Tensor]:
    with torch.no_grad():
        found: list[torch.Tensor] = network.encoder(
            torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(2))
        )
    return found


def _plain(weights: Weights, path: Path) -> Path:
    torch.save(weights, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def _safe(weights: Weights, path: Path) -> Path:
    save_file(weights, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def _checkpoint(weights: Weights, path: Path) -> Path:
    content = {
        "epoch": 3,
        "model": "cls_hrnet",
        "state_dict": {f"module.{name}": value for name, value in weights.items()},
    }
    torch.save(content, path.with_suffix(".tar"))
    return path.with_suffix(".tar")


def _segmentation(weights: Weights, path: Path) -> Path:
    kept = {f"model.{name}": value for name, value in weights.items()}
    torch.save(kept | {"loss.criterion.weight": torch.ones(19)}, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


@pytest.mark.parametrize("write", [_plain, _safe, _checkpoint, _segmentation])
def test_official_names_go_in_and_out_with_equal_outputs(
    published: Weights, write: Callable[[Weights, Path], Path], tmp_path: Path
) -> None:
    network = _network(5)
    before = _features(network)
    dropped = load_encoder_weights(network, write(published, tmp_path / "weights"))
    assert len(dropped) in (2, 3)  # the loss of the segmentation checkpoint is the third
    assert all(any(part in name for part in ("incre_modules", "classifier", "loss.criterion")) for name in dropped)
    again = _network(6)
    load_encoder_weights(again, _safe(network.encoder.state_dict(), tmp_path / "out"))
    expected = _features(_network(1))
    for found, twice, reference, untouched in zip(_features(network), _features(again), expected, before, strict=True):
        torch.testing.assert_close(found, reference, atol=1e-5, rtol=0)
        torch.testing.assert_close(twice, reference, atol=1e-5, rtol=0)
        assert not torch.allclose(untouched, reference, atol=1e-2)


def test_weights_of_a_bundle_serve_its_own_network_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build_network({"name": "unet-small", "width": 4})
    second = build_network({"name": "unet-small", "width": 4, "out_channels": 5})
    dropped = load_encoder_weights(second, _safe(first.state_dict(), tmp_path / "model"))
    assert dropped
    assert all(name.startswith(("decoder.", "head.")) for name in dropped)
    assert all(
        torch.equal(value, second.encoder.state_dict()[name]) for name, value in first.encoder.state_dict().items()
    )


def test_of_a_cascade_the_first_network_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    one, other = (build_network({"name": "wnet", "width": 4}) for _ in range(2))
    save_file(one.state_dict(), path)
    dropped = load_encoder_weights(other, path)
    assert {name.partition(".")[0] for name in dropped} == {"first", "decoder", "head"}
    assert all(torch.equal(value, other.encoder.state_dict()[name]) for name, value in one.encoder.state_dict().items())


def test_old_files_without_batch_counts_are_taken(published: Weights, tmp_path: Path) -> None:
    old = {name: value for name, value in published.items() if "num_batches" not in name}
    network = _network(5)
    load_encoder_weights(network, _plain(old, tmp_path / "old"))
    assert torch.equal(network.encoder.state_dict()["conv1.weight"], published["conv1.weight"])


def _renamed(weights: Weights) -> Weights:
    return {name.replace("conv2.weight", "conv_2.weight"): value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda weights: weights | {"stage5.0.weight": torch.zeros(1)}, ["1 unknown (stage5.0.weight)"]),
        (lambda weights: {k: v for k, v in weights.items() if k != "bn2.weight"}, ["1 missing (bn2.weight)"]),
        (
            lambda weights: weights | {"conv1.weight": torch.zeros(64, 1, 3, 3)},
            ["1 of another shape (conv1.weight 64 x 1 x 3 x 3, needed 64 x 3 x 3 x 3)"],
        ),
        (_renamed, ["missing (conv2.weight", "unknown (conv_2.weight", "and ", " more"]),
        (lambda _: {"classifier.weight": torch.zeros(2)}, ["missing"]),
        (
            lambda weights: weights | {f"model.{k}": v for k, v in weights.items()},
            ["two networks (conv1.weight and model."],
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_its_keys(
    published: Weights, change: Callable[[Weights], Weights], parts: list[str], tmp_path: Path
) -> None:
    network = _network(5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_encoder_weights(network, _plain(change(published), tmp_path / "wrong"))
    message = str(caught.value)
    assert "\n" not in message
    assert "wrong.pth" in message
    assert all(part in message for part in parts)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_file_that_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    network = _network(5)
    cases = {"text.pth": b"no weights", "text.safetensors": b"no weights", "other.pth": pickle.dumps(Path("x"))}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            load_encoder_weights(network, tmp_path / name)
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder_weights(network, tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ModelError, match="holds no weights"):
        load_encoder_weights(network, tmp_path / "empty.pth")
