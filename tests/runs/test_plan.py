"""What a run would cost, and what is said where model, images or detector are not here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from conftest import TINY_UNET
from deme.denoisers import loading
from deme.denoisers.architectures import ARCHITECTURES
from deme.errors import ModelError
from deme.runs.plan import duration, plan
from deme.runs.plan_probes import SLOW_FORWARD, seconds_per_step
from deme.runs.stages.train import expert_job
from integration.tiny_run import context_of


def test_images_are_counted_as_the_run_will_see_them(tmp_path: Path) -> None:
    estimate = plan(context_of(tmp_path), tmp_path)
    assert estimate.training_images == (4 * 6 + 24) * 16  # experts, and joint finetuning
    candidates = int(dict(estimate.rows)["search"].split()[1])
    assert estimate.drawn_images == candidates * 48 + 5 * 3 * 48
    assert estimate.flops > 0 and estimate.seconds > 0


def test_a_known_model_is_timed_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(config: Any) -> Path:
        raise ModelError(f"{config.path} could not be fetched", fix="check the network")

    known = {**TINY_UNET, "_class_name": "UNet2DModel"}
    monkeypatch.setattr(loading, "_download", unreachable)
    monkeypatch.setitem(ARCHITECTURES, "somebody/known", known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    absent = ("data.dataset=./nowhere", "detector=https://127.0.0.1:9/detector.pt")
    context = context_of(tmp_path, "model=somebody/known", *absent)
    rows = dict(plan(context, tmp_path).rows)
    assert "weights were not loaded" in rows["model"] and "could not be fetched" in rows["model"]
    assert "nowhere" in rows["data"] and "noise of 8×8" in rows["data"]
    assert "Cannot download" in rows["detector"]
    with pytest.raises(ModelError, match="could not be fetched"):
        plan(context_of(tmp_path, "model=somebody/unknown"), tmp_path)


def test_what_is_too_slow_to_try_is_calculated(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    job = expert_job(context, context.experts[0])
    slow, images = 2 * SLOW_FORWARD, 16
    accelerator = Accelerator(cpu=True)
    assert seconds_per_step(job, accelerator, slow) == slow * images * 4
    alone = dataclasses.replace(job, teacher=None, consistency=0.0)
    assert seconds_per_step(alone, accelerator, slow) == slow * images * 3


def test_a_probe_leaves_no_file_and_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(tmp_path)
    before = context.base_digest
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert seconds_per_step(expert_job(context, context.experts[0]), context.accelerator, 0.0) > 0
    del context.base, context.base_digest
    assert context.base_digest == before


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (600, "10 min"), (7200, "2.0 h"), (864_000, "10.0 days")],
)
def test_times_are_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert duration(seconds) == f"about {words}"
