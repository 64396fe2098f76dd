"""One step's gradient of clusters that bargain, against each cluster's own gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from deme.decouple import TrainingJob
from deme.decouple.draws import Drawer
from deme.decouple.loss import SampleErrors
from deme.decouple.trainee import start_trainee
from deme.decouple.training import _errors

MakeJob = Callable[..., TrainingJob]


def step_gradient(job: TrainingJob, step: int = 0) -> list[torch.Tensor]:
    """The gradient that one optimizer step would take, before it is clipped."""
    accelerator = Accelerator(cpu=True)
    trainee = start_trainee(job, accelerator)
    trainee.balancing.prepare()
    torch.manual_seed(0)
    trainee.balancing.backward(
        draws_of(job, step), lambda draw: _errors(job, trainee, accelerator.device, draw), step
    )
    grads = [parameter.grad for parameter in trainee.network.parameters()]
    return [grad for grad in grads if grad is not None]


def draws_of(job: TrainingJob, step: int) -> list[Any]:
    drawer = Drawer(
        job.source,
        job.timesteps,
        batch_size=job.config.batch_size,
        accumulation=job.config.gradient_accumulation_steps,
        seed=3,
        rank=0,
        world=1,
    )
    return [drawer.draw(step, micro) for micro in range(drawer.accumulation)]


def cluster_gradient(job: TrainingJob, cluster: int, clusters: int) -> torch.Tensor | None:
    """The mean loss's gradient over the samples of one cluster, by another way: a masked batch."""
    accelerator = Accelerator(cpu=True)
    trainee = start_trainee(job, accelerator)
    total, count = torch.zeros(()), 0
    for draw in draws_of(job, 0):
        here = draw.t * clusters // 1000 == cluster
        errors: SampleErrors = _errors(job, trainee, accelerator.device, draw)
        kept = errors.kept.flatten(1).mean(1) if errors.kept is not None else 0
        total = total + torch.where(here, errors.denoising + job.consistency * kept, 0).sum()
        count += int(here.sum())
    if count == 0:
        return None
    (total / count).backward()
    grads = [parameter.grad for parameter in trainee.network.parameters()]
    return torch.cat([grad.flatten() for grad in grads if grad is not None])


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_mean_is_that_of_the_clusters_gradients(make_job: MakeJob, accumulation: int) -> None:
    """Clusters without a sample are left out; others count the same, however many they drew."""
    shared = {"batch_size": 3, "p": 1.0, "gradient_accumulation_steps": accumulation}
    job = make_job(**shared, multitask={"method": "mean", "clusters": 5})
    found = torch.cat([grad.flatten() for grad in step_gradient(job)])
    each = [cluster_gradient(make_job(**shared), k, 5) for k in range(5)]
    there = [gradient for gradient in each if gradient is not None]
    assert len(there) > 1
    if accumulation == 1:
        assert len(there) < 5
    assert torch.allclose(found, torch.stack(there).mean(0), atol=1e-6)


def test_nash_bargains_between_the_clusters(make_job: MakeJob) -> None:
    """The step is ``Σ α_k g_k / K`` with ``g_i · Σ α_k g_k = 1 / α_i``, on the network itself."""
    shared = {"batch_size": 12, "p": 1.0}
    job = make_job(**shared, multitask={"method": "nash_mtl", "clusters": 2})
    step = 2 * torch.cat([grad.flatten() for grad in step_gradient(job)])
    each = [cluster_gradient(make_job(**shared), k, 2) for k in range(2)]
    rows = torch.stack([gradient for gradient in each if gradient is not None])
    assert len(rows) == 2
    alpha = torch.linalg.lstsq(rows.T.double(), step.double()[:, None]).solution[:, 0]
    assert torch.allclose(rows.double() @ step.double() * alpha, torch.ones(2).double(), atol=1e-3)


def test_between_games_the_weights_are_kept(make_job: MakeJob) -> None:
    """One backward pass of a weighted mean equals the kept weights on the clusters' gradients."""
    shared = {"batch_size": 9, "p": 1.0, "gradient_accumulation_steps": 2}
    job = make_job(**shared, multitask={"method": "mean", "clusters": 3, "update_every": 5})
    accelerator = Accelerator(cpu=True)
    trainee = start_trainee(job, accelerator)
    game = trainee.balancing.game
    assert game is not None
    trainee.balancing.prepare()
    game.kept = torch.tensor([3.0, 0.5, torch.nan], dtype=torch.float64)  # the last: 1.75, a mean
    trainee.balancing.backward(
        draws_of(job, 0), lambda draw: _errors(job, trainee, accelerator.device, draw), 1
    )
    grads = [parameter.grad for parameter in trainee.network.parameters()]
    found = torch.cat([grad.flatten() for grad in grads if grad is not None])
    each = [cluster_gradient(make_job(**shared), k, 3) for k in range(3)]
    rows = torch.stack([gradient for gradient in each if gradient is not None])
    assert len(rows) == 3
    assert torch.allclose(found, torch.tensor([3.0, 0.5, 1.75]) @ rows / 3, atol=1e-6)


def test_the_global_generator_is_left_alone(make_job: MakeJob) -> None:
    """PCGrad's order is drawn from the step, and neither changes nor follows dropout's draws."""
    job = make_job(p=1.0, batch_size=8, multitask={"method": "pcgrad", "clusters": 3})
    first = step_gradient(job)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(a, b) for a, b in zip(first, step_gradient(job), strict=True))


def test_checkpointed_gradients_give_the_same(make_job: MakeJob) -> None:
    shared = {"p": 1.0, "batch_size": 8, "multitask": {"method": "mean", "clusters": 3}}
    plain = step_gradient(make_job(**shared))
    checkpointed = step_gradient(make_job(gradient_checkpointing=True, **shared))
    for one, two in zip(plain, checkpointed, strict=True):
        assert torch.allclose(one, two, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # dynamo warns of diffusers' own code
def test_compiled_gradients_are_the_same(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiled backward pass runs once for each cluster."""
    own: Any = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: own(network, backend="aot_eager"))
    shared = {"p": 1.0, "batch_size": 8, "multitask": {"method": "mean", "clusters": 3}}
    plain = step_gradient(make_job(**shared))
    compiled = step_gradient(make_job(compile=True, **shared))
    for one, two in zip(plain, compiled, strict=True):
        assert torch.allclose(one, two, atol=1e-6)
