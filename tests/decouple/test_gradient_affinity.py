"""Gradients of bins of timesteps, against one backward pass of the whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from deme.data import ImageSource
from deme.decouple import Partition
from deme.decouple.gradient_affinity import gradient_affinity, mean_gradient
from deme.decouple.validation_draws import validation_batches
from deme.denoisers import Denoiser

BINS = Partition.uniform(3, 1000)


def test_cosines_are_those_of_the_gradients(
    pretrained: Denoiser, tiny_source: Callable[..., ImageSource]
) -> None:
    source = tiny_source()
    found = gradient_affinity(pretrained, source, BINS, images=10, batch_size=4, seed=3)
    twin = pretrained.clone()
    twin.network.requires_grad_(True)
    gradients = []
    for item in BINS:
        twin.network.zero_grad()
        (batch,) = validation_batches(twin, source, item, images=10, batch_size=10, seed=3)
        output = twin.predict(batch.x_t, batch.t, batch.conditioning)
        torch.nn.functional.mse_loss(output, batch.target).backward()
        parts = [each.grad.flatten() for each in twin.network.parameters() if each.grad is not None]
        gradients.append(torch.cat(parts).double())
    expected = torch.nn.functional.cosine_similarity(
        torch.stack(gradients)[:, None], torch.stack(gradients)[None, :], dim=2
    )
    assert torch.allclose(found, expected, atol=1e-5)
    assert float(found[0, 2]) < 0.999


def test_measuring_leaves_the_model_alone(
    pretrained: Denoiser, tiny_source: Callable[..., ImageSource]
) -> None:
    before = {name: tensor.clone() for name, tensor in pretrained.weights().items()}
    training = pretrained.network.training
    with torch.no_grad():
        gradient_affinity(pretrained, tiny_source(), BINS, images=4)
    assert pretrained.network.training == training
    for name, parameter in pretrained.network.named_parameters():
        assert torch.equal(before[name], parameter)
        assert parameter.grad is None
        assert not parameter.requires_grad


def test_the_batch_size_changes_nothing(
    pretrained: Denoiser, tiny_source: Callable[..., ImageSource]
) -> None:
    pretrained.network.requires_grad_(True)
    whole, parts = (
        mean_gradient(pretrained, tiny_source(), BINS.ranges[1], images=9, batch_size=size, seed=0)
        for size in (9, 2)
    )
    assert torch.allclose(whole, parts, atol=1e-6)
    assert float(whole.norm()) == pytest.approx(float(parts.norm()), rel=1e-4)
    assert float(whole.norm()) > 0
