"""The collected Fisher against brute force."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from deme.data import ImageSource
from merge.tiny_denoiser import TinyDenoiser, collect, samples_of


@pytest.fixture
def source(tiny_source: Callable[..., ImageSource]) -> ImageSource:
    return tiny_source(10)


def test_fisher_is_the_mean_squared_gradient_of_each_samples_likelihood(
    source: ImageSource,
) -> None:
    denoiser = TinyDenoiser()
    found = collect(denoiser, source, "fisher")
    network = denoiser.clone().network.eval().requires_grad_(True)
    squares = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for x_t, noise, t in samples_of(denoiser, source, 6):
        network.zero_grad()
        (0.5 * (noise - network(x_t, t)).square().sum()).backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                squares[name] += parameter.grad.square() / 6
    assert float(squares["down.weight"].min()) > 0
    for name, expected in squares.items():
        torch.testing.assert_close(
            found.tensors[name].double(), expected.detach(), rtol=1e-5, atol=1e-12
        )


def test_a_fisher_of_one_weight_by_finite_differences(source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    found = collect(denoiser, source, "fisher").tensors["mix.weight"][1, 2]
    network = denoiser.clone().network.eval()
    weight, step, slopes = network.get_parameter("mix.weight"), 1e-5, []
    for x_t, noise, t in samples_of(denoiser, source, 6):
        logs = []
        for sign in (1, -1):
            weight[1, 2] += sign * step
            normal = torch.distributions.Normal(network(x_t, t), 1.0)
            logs.append(float(normal.log_prob(noise).sum()))
            weight[1, 2] -= sign * step
        slopes.append((logs[0] - logs[1]) / (2 * step))
    assert float(found) == pytest.approx(float(np.mean(np.square(slopes))), rel=1e-4)


def test_fisher_has_each_floating_point_tensor_and_zero_where_nothing_depends_on_it(
    source: ImageSource,
) -> None:
    denoiser = TinyDenoiser()
    found = collect(denoiser, source, "fisher")
    floats = {n: w.shape for n, w in denoiser.weights().items() if w.is_floating_point()}
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == floats
    assert all(tensor.dtype == torch.float32 for tensor in found.tensors.values())
    for name in ("offset", "unused.weight", "unused.bias"):
        assert not bool(found.tensors[name].any())


def test_fisher_is_read_in_units_of_its_root_mean_square(source: ImageSource) -> None:
    found = collect(TinyDenoiser(), source, "fisher")
    values = [found.read(name) for name in found.tensors]
    everything = torch.cat([value.flatten() for value in values if value is not None])
    assert float(everything.square().mean()) == pytest.approx(1, rel=1e-5)
    bias = found.read("down.bias")
    assert bias is not None
    torch.testing.assert_close(bias * found.description.scale, found.tensors["down.bias"])
    assert found.read("another") is None
