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
from deme.decouple.game import Game
from deme.decouple.multitask_config import MultiTaskConfig
from deme.decouple.trainee import start_trainee
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
