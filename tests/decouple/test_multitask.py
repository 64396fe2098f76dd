"""Trainings whose loss over t is learned or whose clusters of timesteps bargain: the one loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from deme.decouple import TrainingJob, TrainingResult, train_expert
from deme.decouple.aggregators import AGGREGATORS
from deme.decouple.balancing import make_balancing
from deme.decouple.checkpoint import BALANCING_FILE, list_checkpoints
from deme.decouple.draws import Drawer
from deme.decouple.game import Game
from deme.decouple.loss import SampleErrors
from deme.decouple.multitask_config import MultiTaskConfig
from deme.decouple.trainee import start_trainee
from deme.decouple.training import _errors
from deme.denoisers import Denoiser
from deme.errors import ConfigError, StorageError

MakeJob = Callable[..., TrainingJob]
Same = Callable[[Denoiser, Denoiser], bool]
NASH = {"method": "nash_mtl", "clusters": 3, "update_every": 2}
GRADIENT = {"clusters": 3, "cluster_by": "gradient", "affinity_bins": 5, "affinity_images": 6}


class Stopped(Exception):
    """Somebody pressed control-C."""


def train(job: TrainingJob, folder: Path, stop_at: int | None = None) -> TrainingResult:
    def on_progress(step: int, values: Mapping[str, float]) -> None:
        if step == stop_at:
            raise Stopped

    return train_expert(
        job, folder, Accelerator(cpu=True), checkpointing_steps=3, on_progress=on_progress
    )


@pytest.mark.parametrize("settings", [
    {"weighting": "learned", "weighting_learning_rate": 0},
    {"multitask": {"method": "uncertainty", "uncertainty_learning_rate": 0}},
    {"multitask": {"method": "uncertainty", "clusters": 1}},
    {"multitask": {"method": "nash_mtl", "clusters": 1}},
    {"multitask": {"method": "cagrad", "clusters": 1}},
    {"weighting": "snr"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("consistency", [0.0, 0.7])
def test_neutral_settings_are_plain_finetuning_bit_for_bit(
    make_job: MakeJob,
    same_weights: Same,
    tmp_path: Path,
    settings: dict[str, Any],
    consistency: float,
) -> None:
    shared = {"consistency": consistency, "gradient_accumulation_steps": 2, "p": 1.0, "steps": 3}
    plain = train(make_job(**shared), tmp_path / "plain")
    neutral = train(make_job(**shared, **settings), tmp_path / "neutral")
    assert same_weights(neutral.denoiser, plain.denoiser)
    assert neutral.losses == plain.losses


@pytest.mark.parametrize("settings", [
    {"weighting": "learned"},
    {"weighting": "min_snr", "weighting_gamma": 2.0},
    {"multitask": {"method": "uncertainty"}},
    {"multitask": {"method": "uncertainty", "cluster_by": "snr"}, "weighting": "min_snr"},
    {"multitask": NASH, "weighting": "learned"},
    *({"multitask": {"method": name, "clusters": 3}} for name in AGGREGATORS),
], ids=str)  # fmt: skip
def test_every_method_trains_another_model_of_the_same_kind(
    make_job: MakeJob,
    same_weights: Same,
    pretrained: Denoiser,
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    shared = {"p": 1.0, "batch_size": 8, "steps": 3}
    plain = train(make_job(**shared), tmp_path / "plain")
    result = train(make_job(**shared, **settings), tmp_path / "other")
    assert not same_weights(result.denoiser, plain.denoiser)
    assert result.denoiser.weights().keys() == pretrained.weights().keys()
    assert result.losses[0]["consistency"] == plain.losses[0]["consistency"]
    assert all(torch.isfinite(tensor).all() for tensor in result.denoiser.weights().values())


@pytest.mark.parametrize("settings", [
    {"weighting": "learned"},
    {"multitask": {"method": "uncertainty"}, "gradient_accumulation_steps": 2},
    {"multitask": {"method": "uncertainty", **GRADIENT}},
    {"multitask": NASH, "weighting": "learned", "gradient_accumulation_steps": 2},
    {"multitask": {"method": "pcgrad", **GRADIENT}},
], ids=str)  # fmt: skip
def test_resumed_equals_uninterrupted(
    make_job: MakeJob, same_weights: Same, tmp_path: Path, settings: dict[str, Any]
) -> None:
    job = make_job(steps=8, p=0.8, batch_size=6, **settings)
    whole = train(job, tmp_path / "whole")
    for stop_at in (2, 5):
        with pytest.raises(Stopped):
            train(job, tmp_path / "stopped", stop_at)
    resumed = train(job, tmp_path / "stopped")
    assert same_weights(resumed.denoiser, whole.denoiser)
    assert resumed.losses == whole.losses
    last = list_checkpoints(tmp_path / "stopped" / "checkpoints")[-1]
    assert (last / BALANCING_FILE).is_file()


def test_clusters_by_gradient_are_measured_once(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(steps=5, multitask={"method": "mean", **GRADIENT})
    with pytest.raises(Stopped):
        train(job, tmp_path, 4)

    def again(*args: Any, **more: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("deme.decouple.timestep_clusters.gradient_affinity", again)
    train(job, tmp_path)


def test_a_checkpoint_of_other_tasks(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(steps=3, weighting="learned"), tmp_path)
    for other in ({}, {"multitask": NASH}):
        with pytest.raises(StorageError, match="another weighting or other tasks"):
            train(make_job(steps=4, **other), tmp_path)


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


def test_games_are_played_each_so_many_steps(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[int] = []
    own = Game.backward

    def watching(self: Game, *args: Any) -> Any:
        played.append(args[-1])
        return own(self, *args)

    monkeypatch.setattr(Game, "backward", watching)
    train(make_job(steps=5, p=1.0, multitask=NASH), tmp_path / "every second")
    assert played == [0, 2, 4]


def test_how_often_games_are_played() -> None:
    """As in ANT's published code: NashMTL each 25 steps, PCGrad each step."""
    assert MultiTaskConfig(method="nash_mtl").steps_between_games == 25
    assert MultiTaskConfig(method="pcgrad").steps_between_games == 1
    assert MultiTaskConfig(method="nash_mtl", update_every=3).steps_between_games == 3


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


def test_half_precision_that_scales_gradients_is_refused(make_job: MakeJob) -> None:
    class Scaling:
        mixed_precision = "fp16"

    job = make_job(multitask=NASH)
    accelerator: Any = Scaling()
    with pytest.raises(ConfigError, match=r"nash_mtl compares gradients.*Fix: use mixed_precision"):
        make_balancing(job, job.pretrained, job.pretrained.network, accelerator)


@pytest.mark.parametrize("settings", [{"multitask": NASH}, {"weighting": "learned"}], ids=str)
def test_half_precision_trains(make_job: MakeJob, tmp_path: Path, settings: dict[str, Any]) -> None:
    shared = {"p": 1.0, "batch_size": 8, "steps": 3, "adam_epsilon": 1e-3}
    full = train(make_job(**shared, **settings), tmp_path / "full")
    AcceleratorState._reset_state(True)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    half = train_expert(make_job(**shared, **settings), tmp_path / "half", accelerator)
    for one, two in zip(half.losses, full.losses, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=0.05)


@pytest.mark.parametrize("multitask", [
    {"clusters": 2000},
    {"cluster_by": "gradient", "affinity_bins": 2000},
], ids=str)  # fmt: skip
def test_more_intervals_than_timesteps(
    make_job: MakeJob, accelerator: Accelerator, multitask: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"2000 intervals do not fit .*'s 1000 timesteps"):
        start_trainee(make_job(multitask=multitask), accelerator)
