"""What arms cost, counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deme import load_denoiser
from deme.compare.costs import (
    FlopCounter,
    architecture,
    sample_flops,
    seconds_per_sample,
    weight_bytes,
)
from deme.denoisers import RoutedDenoiser
from deme.generate import ImageRequest, SamplerConfig, generate_images
from deme.runs import RunContext, RunStore, load_spec
from deme.runs.progress import Reporter

SAMPLER = SamplerConfig(sampler="ddim", sampler_steps=5)
PLAIN = {"ranges": 1, "p": 0.0, "consistency": 0.0, "projection": "none", "batch_size": 4}


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> FlopCounter:
    spec = load_spec("digits", ["runtime.workers=1"])
    output = tmp_path_factory.mktemp("costs")
    return FlopCounter(RunContext(spec, RunStore(output, spec), Reporter(quiet=True)))


def step_of(counter: FlopCounter, **changes: Any) -> float:
    spec = counter.context.spec
    values = spec.decouple.model_dump(exclude_unset=True) | PLAIN | changes
    decouple = type(spec.decouple).model_validate(values)
    return counter.training_step(spec.model_copy(update={"decouple": decouple}), 0)


def test_a_sample_costs_what_drawing_it_computes() -> None:
    base = load_denoiser("digits")
    counted = FlopCounterMode(display=False)
    with counted:
        generate_images(base, ImageRequest(SAMPLER, 0, 1))
    assert sample_flops(base, SAMPLER) == counted.get_total_flops()
    routed = RoutedDenoiser([base, base.clone(), base], (0, 300, 600, 1000))
    assert sample_flops(routed, SAMPLER) == sample_flops(base, SAMPLER)
    assert weight_bytes(routed) == 2 * weight_bytes(base)  # the first owns two ranges


def test_training_counts_forward_backward_and_the_frozen_teacher(counter: FlopCounter) -> None:
    forward = 4 * sample_flops(load_denoiser("digits"), SAMPLER) / 5
    plain = step_of(counter)
    assert 2.5 < plain / forward < 3.0  # the first layers need no gradient of their input
    assert step_of(counter, consistency=1.0) - plain == pytest.approx(forward)


def test_a_game_is_counted_at_the_steps_that_play(counter: FlopCounter) -> None:
    plain = step_of(counter)
    game = {"method": "nash_mtl", "clusters": 5}
    each = step_of(counter, multitask=game | {"update_every": 1})
    seldom = step_of(counter, multitask=game | {"update_every": 4})
    assert each > 1.3 * plain
    assert seldom == pytest.approx((each + 3 * plain) / 4)


def test_architectures_are_alike_whatever_the_weights_and_differ_in_who_serves_which_t() -> None:
    base = load_denoiser("digits")
    other = base.clone()
    other.load_weights({name: tensor * 2 for name, tensor in base.weights().items()})
    halves = RoutedDenoiser([base, other], (0, 500, 1000))
    assert architecture(base) == architecture(other)
    assert architecture(halves) == architecture(RoutedDenoiser([other, base], (0, 500, 1000)))
    for different in (
        base,
        RoutedDenoiser([base, base], (0, 500, 1000)),
        RoutedDenoiser([base, other], (0, 300, 1000)),
    ):
        assert architecture(halves) != architecture(different)


def test_every_model_is_timed() -> None:
    base = load_denoiser("digits")
    torch.set_num_threads(1)
    models = {
        "few": (base, SAMPLER),
        "many": (base, SAMPLER.model_copy(update={"sampler_steps": 50})),
    }
    seconds = seconds_per_sample(models, images=2)
    assert 0 < seconds["few"] < seconds["many"]


def test_counting_leaves_nothing_behind(counter: FlopCounter) -> None:
    step_of(counter, weighting="min_snr")
    assert not [*Path(counter.context.store.path).glob("**/checkpoints")]
