"""Numbers that are none: training stops at that step, says so, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from deme.decouple import TrainingJob, train_expert, training
from deme.decouple.checkpoint import list_checkpoints
from deme.decouple.loss import SampleErrors
from deme.denoisers import Denoiser
from deme.errors import TrainingError

MakeJob = Callable[..., TrainingJob]


def poison(
    monkeypatch: pytest.MonkeyPatch, at_step: int, change: Callable[[Tensor], Tensor]
) -> None:
    """Changes the denoising errors of one step."""
    own, calls = training.sample_errors, iter(range(1, 100))

    def poisoned(*args: Any, **more: Any) -> SampleErrors:
        errors = own(*args, **more)
        if next(calls) != at_step:
            return errors
        return errors._replace(denoising=change(errors.denoising))

    monkeypatch.setattr(training, "sample_errors", poisoned)


def last_checkpoint(folder: Path) -> str:
    return list_checkpoints(folder / "checkpoints")[-1].name


@pytest.mark.parametrize("step", [1, 4, 5])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    value: float,
) -> None:
    seen: list[int] = []
    poison(monkeypatch, step, lambda loss: loss * value)
    with pytest.raises(TrainingError) as caught:
        train_expert(
            make_job(steps=8),
            tmp_path,
            accelerator,
            checkpointing_steps=3,
            on_progress=lambda done, values: seen.append(done),
        )
    assert str(caught.value) == (
        f"The loss of expert is not a finite number at step {step}. Fix: lower "
        "decouple.learning_rate, use mixed_precision: bf16 or no instead of fp16, or look for "
        "broken images; the last good checkpoint is kept."
    )
    assert seen == list(range(1, step))
    if step > 3:
        assert last_checkpoint(tmp_path) == "step-000003"


def test_a_gradient_that_is_no_number(
    make_job: MakeJob, accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """√(0·loss) adds 0 to the loss and ∞·0 to its gradient."""
    poison(monkeypatch, 5, lambda loss: loss + (0 * loss).sqrt())
    with pytest.raises(TrainingError, match=r"The gradient of expert .* at step 5"):
        train_expert(make_job(steps=8), tmp_path, accelerator, checkpointing_steps=3)
    assert last_checkpoint(tmp_path) == "step-000003"


@pytest.mark.parametrize("settings", [
    {"weighting": "learned"},
    {"multitask": {"method": "nash_mtl", "clusters": 2}, "p": 1.0},
    {"multitask": {"method": "upgrad", "clusters": 2}, "p": 1.0},
], ids=str)  # fmt: skip
def test_balanced_losses_stop_too(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    poison(monkeypatch, 1, lambda loss: loss * float("nan"))
    with pytest.raises(TrainingError, match=r"The loss of expert .* at step 1"):
        train_expert(make_job(steps=2, **settings), tmp_path, accelerator)


def test_a_rate_that_explodes(make_job: MakeJob, accelerator: Accelerator, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"not a finite number at step [23]"):
        train_expert(make_job(steps=8, learning_rate=1e30), tmp_path, accelerator)


def test_the_step_is_named_where_looking_is_rare(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU the losses are read only now and then, and always before a checkpoint."""
    job = make_job(steps=8)
    for pending, wrong, named in ((4, 0, 5), (4, 3, 8), (1, 0, 8)):
        values = [torch.ones(4) for _ in range(pending)]
        values[wrong] = torch.tensor([1.0, 1.0, float("nan"), 1.0])
        with pytest.raises(TrainingError, match=f"at step {named}"):
            training._stop_if_not_finite(values, job, accelerator, 8)
    training._stop_if_not_finite([torch.ones(4)], job, accelerator, 8)


def test_training_again_after_a_stop(
    make_job: MakeJob,
    accelerator: Accelerator,
    same_weights: Callable[[Denoiser, Denoiser], bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job(steps=5)
    whole = train_expert(job, tmp_path / "whole", accelerator, checkpointing_steps=3)
    with monkeypatch.context() as patched:
        poison(patched, 5, lambda loss: loss * float("nan"))
        with pytest.raises(TrainingError):
            train_expert(job, tmp_path / "again", accelerator, checkpointing_steps=3)
    again = train_expert(job, tmp_path / "again", accelerator, checkpointing_steps=3)
    assert same_weights(whole.denoiser, again.denoiser)
    assert again.losses == whole.losses
