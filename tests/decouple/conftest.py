"""Trainings of a few steps on a tiny pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from deme.data import ImageSource
from deme.decouple import TimestepRange, TimestepSampler, TrainingJob
from deme.decouple.config import TrainingConfig
from deme.denoisers import Denoiser, load_denoiser


@pytest.fixture(autouse=True)
def own_accelerator_state() -> Iterator[None]:
    """accelerate keeps the precision of the first accelerator for the whole process."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate collects garbage after each training, which takes longer than a tiny one."""
    monkeypatch.setattr("accelerate.utils.memory.gc.collect", lambda *args: 0)


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


@pytest.fixture
def pretrained(tiny_pipeline: Callable[..., Path]) -> Denoiser:
    return load_denoiser(tiny_pipeline())


@pytest.fixture
def make_job(
    pretrained: Denoiser, tiny_source: Callable[..., ImageSource]
) -> Callable[..., TrainingJob]:
    """``make_job(base, source, placement, consistency, teacher, p, **config)``."""

    def make(
        base: Denoiser | None = None,
        source: ImageSource | None = None,
        placement: Any = "foldable",
        consistency: float = 1.0,
        teacher: Denoiser | None = None,
        p: float = 0.4,
        **config: Any,
    ) -> TrainingJob:
        base = base or pretrained
        total = base.schedule.num_timesteps
        settings = {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, **config}
        return TrainingJob(
            name="expert",
            pretrained=base,
            source=source or tiny_source(),
            timesteps=TimestepSampler(TimestepRange(0, total // 4), total, p),
            config=TrainingConfig(**settings),
            placement=placement,
            teacher=(teacher or base) if consistency else None,
            consistency=consistency,
            seed=0,
        )

    return make


@pytest.fixture
def same_weights() -> Callable[[Denoiser, Denoiser], bool]:
    """Whether two denoisers have the same names and bits."""

    def compare(first: Denoiser, second: Denoiser) -> bool:
        ours, theirs = first.weights(), second.weights()
        return ours.keys() == theirs.keys() and all(
            torch.equal(ours[name], theirs[name]) for name in ours
        )

    return compare
