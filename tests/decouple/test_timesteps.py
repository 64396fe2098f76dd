"""Eq. 6 and antithetic pairs."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from deme.decouple import TimestepRange, TimestepSampler
from deme.errors import ConfigError
from deme.randomness import generator

TOTAL, OWN = 1000, TimestepRange(250, 500)
Per = Literal["batch", "sample"]
PERS: tuple[Per, ...] = ("batch", "sample")


def batches(sampler: TimestepSampler, size: int, count: int) -> torch.Tensor:
    draws = generator(0, "test")
    return torch.stack([sampler.sample(size, draws) for _ in range(count)])


def inside(t: torch.Tensor) -> torch.Tensor:
    return (t >= OWN.low) & (t < OWN.high)


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("per", PERS)
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_frequencies_are_those_of_equation_6(p: float, per: Per, antithetic: bool) -> None:
    """Within with (1 − p) + p·(own / T), each t of the two parts equally often."""
    t = batches(TimestepSampler(OWN, TOTAL, p, per, antithetic), 8, 4000)
    expected = (1 - p) + p * len(OWN) / TOTAL
    assert float(inside(t).double().mean()) == pytest.approx(expected, abs=0.025)
    for part, low, high in (
        (t[inside(t)], 250, 500),
        (t[t < 250], 0, 250),
        (t[t >= 500], 500, 1000),
    ):
        if len(part) > 100:
            quarters = torch.histc(part.double(), 4, low, high) / len(part)
            assert torch.allclose(quarters, torch.full((4,), 0.25).double(), atol=0.03)


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("per", PERS)
def test_bounds_and_sizes(per: Per, size: int, antithetic: bool) -> None:
    t = batches(TimestepSampler(OWN, TOTAL, 0.0, per, antithetic), size, 3000)
    assert t.shape == (3000, size)
    assert t.dtype == torch.int64
    assert (int(t.min()), int(t.max())) == (250, 499)  # both ends are reached, neither passed
    t = batches(TimestepSampler(OWN, TOTAL, 1.0, per, antithetic), size, 3000)
    assert 0 <= int(t.min()) < 10
    assert 989 < int(t.max()) < 1000


@pytest.mark.parametrize("size", [8, 7])
@pytest.mark.parametrize("per", PERS)
def test_pairs_mirror_in_the_range_they_were_drawn_from(per: Per, size: int) -> None:
    t = batches(TimestepSampler(OWN, TOTAL, 0.5, per, True), size, 500)
    half = (size + 1) // 2
    sums = t[:, : size - half] + t[:, half:]
    own = (sums == 250 + 500 - 1) & inside(t[:, : size - half])
    everywhere = sums == 0 + 1000 - 1
    assert bool((own | everywhere).all())
    assert bool(own.any())
    assert bool(everywhere.any())


def test_the_choice_is_per_batch_or_per_sample() -> None:
    """A batch of 64 from all timesteps lies within the own range with probability 4⁻⁶⁴."""
    for per in PERS:
        mixed = per == "sample"
        t = batches(TimestepSampler(OWN, TOTAL, 0.5, per, False), 64, 200)
        share = inside(t).double().mean(1)
        assert bool(((share > 0.45) & (share < 0.8)).all()) == mixed
        assert bool((share == 1).any()) != mixed


def test_a_range_of_one_timestep() -> None:
    sampler = TimestepSampler(TimestepRange(7, 8), TOTAL, 0.0)
    assert sampler.sample(5, generator(0)).tolist() == [7] * 5


def test_the_same_generator_gives_the_same_timesteps() -> None:
    sampler = TimestepSampler(OWN, TOTAL, 0.3)
    assert torch.equal(sampler.sample(9, generator(3)), sampler.sample(9, generator(3)))


@pytest.mark.parametrize("p", [-0.01, 1.01, float("nan")])
def test_p_outside_zero_and_one(p: float) -> None:
    with pytest.raises(ConfigError) as caught:
        TimestepSampler(OWN, TOTAL, p)
    assert str(caught.value) == f"p = {p} is not a probability. Fix: give p in [0, 1]."


def test_a_range_beyond_the_model() -> None:
    with pytest.raises(ConfigError, match=r"The range \[250, 500\) exceeds the model's 400"):
        TimestepSampler(OWN, 400, 0.3)
