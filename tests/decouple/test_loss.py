"""Eq. 5 by hand, and validation with common noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.data import ImageSource
from deme.decouple import Partition, expert_loss, validation_losses
from deme.denoisers import Denoiser, RoutedDenoiser, load_denoiser

Write = Callable[..., Path]
MakeSource = Callable[..., ImageSource]


@pytest.fixture
def draw() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn((2, 5, 1, 8, 8), generator=generator)
    t = torch.tensor([0, 10, 300, 700, 999])
    return {"x_0": x_0, "noise": noise, "t": t, "conditioning": {}}


def student(teacher: Denoiser) -> Denoiser:
    expert = teacher.clone()
    expert.load_weights({name: tensor * 1.05 for name, tensor in teacher.weights().items()})
    expert.network.requires_grad_(True)
    return expert


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("coefficient", [0.0, 0.5, 1.0])
def test_equation_5_by_hand(
    tiny_pipeline: Write, draw: dict[str, Any], prediction: str, coefficient: float
) -> None:
    teacher = load_denoiser(tiny_pipeline(scheduler_config={"prediction_type": prediction}))
    expert = student(teacher)
    found = expert_loss(expert, expert.network, teacher, consistency=coefficient, **draw)
    x_0, noise, t = draw["x_0"], draw["noise"], draw["t"]
    alpha_bar = teacher.schedule.alpha.square().float()[t].reshape(-1, 1, 1, 1)
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0
    target = {"epsilon": noise, "sample": x_0, "v_prediction": velocity}[prediction]
    network: Any = expert.network
    output = network(x_t, t).sample
    denoising = torch.nn.functional.mse_loss(output, target)
    kept = torch.nn.functional.mse_loss(output, teacher.predict(x_t, t, {}))
    assert torch.allclose(found.denoising, denoising, rtol=1e-5)
    assert torch.allclose(found.total, denoising + coefficient * kept, rtol=1e-5)
    if coefficient:
        assert torch.allclose(found.consistency, kept, rtol=1e-4)
        assert float(kept.detach()) > 0


def test_a_weighting_is_on_the_denoising_term_alone(
    pretrained: Denoiser, draw: dict[str, Any]
) -> None:
    expert = student(pretrained)
    plain = expert_loss(expert, expert.network, pretrained, **draw)

    def twice(denoiser: Denoiser, t: Tensor) -> Tensor:
        return torch.full((len(t),), 2.0)

    weighted = expert_loss(expert, expert.network, pretrained, weighting=twice, **draw)
    assert torch.allclose(weighted.denoising, 2 * plain.denoising)
    assert torch.equal(weighted.consistency, plain.consistency)


def test_consistency_has_no_gradient_at_the_start(
    pretrained: Denoiser, draw: dict[str, Any]
) -> None:
    expert = pretrained.clone()
    expert.network.requires_grad_(True)
    loss = expert_loss(expert, expert.network, pretrained, **draw)
    assert float(loss.consistency.detach()) == 0
    loss.consistency.backward()
    for parameter in expert.network.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_the_teacher_gets_no_gradient(pretrained: Denoiser, draw: dict[str, Any]) -> None:
    expert = student(pretrained)
    pretrained.network.requires_grad_(True)  # even where somebody forgot to freeze it
    expert_loss(expert, expert.network, pretrained, **draw).total.backward()
    assert all(p.grad is None for p in pretrained.network.parameters())
    assert all(p.grad is not None for p in expert.network.parameters())


def test_a_teacher_in_half_precision(pretrained: Denoiser, draw: dict[str, Any]) -> None:
    expert = student(pretrained)
    teacher = pretrained.clone()
    teacher.network.to(torch.bfloat16)
    full = expert_loss(expert, expert.network, pretrained, **draw)
    half = expert_loss(expert, expert.network, teacher, **draw)
    assert half.total.dtype == torch.float32
    assert torch.allclose(half.consistency, full.consistency, rtol=0.2)


def test_validation_is_paired_and_does_not_depend_on_the_batch(
    pretrained: Denoiser, tiny_source: MakeSource
) -> None:
    source, partition = tiny_source(), Partition.uniform(4)
    losses = validation_losses(pretrained, source, partition)
    assert len(losses) == 4
    assert all(loss > 0 for loss in losses)
    small = validation_losses(pretrained, source, partition, batch_size=5)
    assert small == pytest.approx(losses, rel=1e-5)
    assert validation_losses(pretrained, source, partition) == losses
    assert validation_losses(pretrained, source, partition, seed=1) != losses
    assert validation_losses(pretrained, source, partition, images=10) != losses


def test_validation_of_the_ensemble_is_each_experts_own(
    pretrained: Denoiser, tiny_source: MakeSource
) -> None:
    source, partition = tiny_source(), Partition.uniform(2)
    experts = [student(pretrained), pretrained]
    routed = RoutedDenoiser(experts, partition.boundaries)
    matrix = [validation_losses(expert, source, partition) for expert in experts]
    found = validation_losses(routed, source, partition)
    assert found == pytest.approx([matrix[0][0], matrix[1][1]], rel=1e-6)


def test_validation_with_classes(tiny_pipeline: Write, tiny_source: MakeSource) -> None:
    denoiser = load_denoiser(tiny_pipeline(num_class_embeds=3))
    losses = validation_losses(denoiser, tiny_source(classes=3), Partition.uniform(2))
    assert all(loss > 0 for loss in losses)
