"""The collected Gram matrices against brute force, and RegMean with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deme.data import ImageSource
from deme.denoisers import Denoiser
from deme.merge.methods.regmean import regmean
from deme.merge.statistics.grams import InputGram
from merge.tiny_denoiser import TinyDenoiser, collect, samples_of


@pytest.fixture
def source(tiny_source: Callable[..., ImageSource]) -> ImageSource:
    return tiny_source(10)


def patches(image: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Patches ``(positions, C·k·k)`` of an image ``(C, H, W)``, one after the other."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    places = range(0, padded.shape[1] - kernel + 1, stride)
    return np.stack(
        [padded[:, y : y + kernel, x : x + kernel].ravel() for y in places for x in places]
    )


def inputs_of(denoiser: Denoiser, source: ImageSource, layer: str) -> Tensor:
    """All that a layer is given on six samples, stacked."""
    network, seen = denoiser.clone().network.eval(), []
    network.get_submodule(layer).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for x_t, _, t in samples_of(denoiser, source, 6):
        network(x_t, t)
    return torch.cat(seen)


def matrix_of_inputs(denoiser: Denoiser, source: ImageSource, layer: str) -> np.ndarray:
    seen = inputs_of(denoiser, source, layer).numpy()
    if layer == "down":
        return np.concatenate([patches(image, 3, 2, 1) for image in seen])
    return seen.reshape(-1, seen.shape[-1])


@pytest.mark.parametrize("layer", ["down", "mix", "time"])
def test_gram_matrices_are_the_mean_products_of_a_layers_inputs(
    layer: str, source: ImageSource
) -> None:
    denoiser = TinyDenoiser()
    found = collect(denoiser, source, "regmean", batch_size=4)
    rows = matrix_of_inputs(denoiser, source, layer)
    gram = found.read(f"{layer}.weight")
    assert gram is not None and gram.dtype == torch.float32 and torch.equal(gram, gram.mT)
    np.testing.assert_allclose(gram.numpy(), rows.T @ rows / len(rows), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layer", ["down", "mix", "time"])
def test_regmean_of_collected_statistics_solves_the_regression_of_the_experts_outputs(
    layer: str, source: ImageSource
) -> None:
    denoisers = [TinyDenoiser(1), TinyDenoiser(2)]
    name, shares = f"{layer}.weight", [0.3, 0.7]
    weights = [denoiser.weights()[name] for denoiser in denoisers]
    rows = [matrix_of_inputs(denoiser, source, layer) for denoiser in denoisers]
    scale = [np.sqrt(s / len(x)) for s, x in zip(shares, rows, strict=True)]
    stacked = np.concatenate([f * x for f, x in zip(scale, rows, strict=True)])
    wanted = np.concatenate(
        [f * x @ w.flatten(1).numpy().T for f, x, w in zip(scale, rows, weights, strict=True)]
    )
    expected = np.linalg.lstsq(stacked, wanted, rcond=None)[0].T
    base = TinyDenoiser(0).weights()[name].float()
    deltas = [weight.float() - base for weight in weights]
    collected = [collect(denoiser, source, "regmean").read(name) for denoiser in denoisers]
    found = regmean(base, deltas, shares, statistics=collected, alpha=1.0)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=2e-4)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (2, 0)},
        {"kernel_size": 3, "dilation": 2, "padding": 2, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": (0, 2), "padding_mode": "circular"},
        {"kernel_size": (4, 3), "dilation": (1, 2), "padding": "same"},
        {"kernel_size": 3, "stride": 2, "padding": "valid"},
    ],
)
def test_a_convolutions_outputs_follow_from_its_gram_matrix(settings: dict[str, Any]) -> None:
    draws = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(3, 5, bias=False, **settings).double().requires_grad_(False)
    inputs = torch.randn(2, 3, 8, 9, generator=draws, dtype=torch.float64)
    gram = InputGram(layer)
    gram.add(inputs)
    outputs = layer(inputs).movedim(1, -1).flatten(0, -2)  # E[y yᵀ] = W E[x xᵀ] Wᵀ
    matrix = layer.weight.flatten(1)
    torch.testing.assert_close(
        outputs.mT @ outputs / len(outputs), matrix @ gram.mean() @ matrix.mT
    )
    assert gram.rows == len(outputs)


def test_what_has_no_gram_matrix_is_reported(source: ImageSource) -> None:
    found = collect(TinyDenoiser(), source, "regmean", max_features=8)
    assert set(found.tensors) == {"mix.weight", "time.weight"}
    assert found.description.skipped == {
        "down.weight": "9 inputs",
        "grouped.weight": "2 groups",
        "unused.weight": "not used",
    }
