"""A small network that learns to order model schedules from few measured ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import DataError
from ..randomness import derive_seed
from .schedule import ModelSchedule, ScheduleSpace

EMBEDDED = 16
HIDDEN = 32
FREQUENCIES = 8
ITERATIONS = 300
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-2
FEWEST = 4
"""Measured schedules that an order can be learnt from."""
SQRT_12 = math.sqrt(12.0)
"""Ranks in [0, 1] times this have a standard deviation of one."""


class EncodedSchedules(NamedTuple):
    """Schedules side by side, padded to L steps.

    Attributes:
        models: ``(B, L)``, int64.
        times: ``t / T``, ``(B, L)``.
        mask: 1 where there is a step, ``(B, L)``.

    """

    models: Tensor
    times: Tensor
    mask: Tensor


class ScheduleNetwork(nn.Module):
    """From schedules to one number each.

    Each step is an embedding of its model and one of its timestep, mixed by a perceptron; an LSTM
    reads the steps from noise to image. Both, averaged over the steps, and the number of steps are
    what a second perceptron makes the number of. The paper (arXiv:2306.08860) uses the LSTM's
    last state alone. Of scores that are a sum over steps, a hundred measured schedules teach the
    averages as much as three hundred teach the last state.

    Args:
        models: K, the size of the zoo.

    """

    def __init__(self, models: int) -> None:
        super().__init__()
        self.model = nn.Embedding(models, EMBEDDED)
        self.time = nn.Linear(1 + 2 * FREQUENCIES, EMBEDDED)
        self.step = nn.Sequential(
            nn.Linear(2 * EMBEDDED, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN)
        )
        self.sequence = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(2 * HIDDEN + 1, 2 * HIDDEN), nn.SiLU(), nn.Linear(2 * HIDDEN, 1)
        )

    def forward(self, encoded: EncodedSchedules) -> Tensor:
        """``(B,)``, lower for better schedules."""
        angles = math.pi * torch.arange(1, FREQUENCIES + 1) * encoded.times[..., None]
        waves = torch.cat([encoded.times[..., None], angles.sin(), angles.cos()], dim=-1)
        each = self.step(torch.cat([self.model(encoded.models), self.time(waves)], dim=-1))
        read, _ = self.sequence(each)
        count = encoded.mask.sum(dim=1, keepdim=True)
        averages = [(x * encoded.mask[..., None]).sum(dim=1) / count for x in (each, read)]
        return self.head(torch.cat([*averages, 10 / count], dim=-1)).squeeze(-1)


class SchedulePredictor:
    """Predicts the order of schedules; see :func:`fit_predictor`.

    Args:
        space: whose schedules.
        network: what was fitted.

    """

    def __init__(self, space: ScheduleSpace, network: ScheduleNetwork) -> None:
        self.space = space
        self.network = network

    @torch.inference_mode()
    def __call__(self, schedules: Sequence[ModelSchedule]) -> Tensor:
        """Values ``(B,)`` of at least one schedule, lower is better; only their order means any."""
        return self.network(encode(self.space, schedules))


def encode(space: ScheduleSpace, schedules: Sequence[ModelSchedule]) -> EncodedSchedules:
    """Schedules as tensors, padded to the longest."""
    shape = (len(schedules), max(schedule.steps for schedule in schedules))
    models = torch.zeros(shape, dtype=torch.long)
    times, mask = torch.zeros(shape), torch.zeros(shape)
    for row, schedule in enumerate(schedules):
        n = schedule.steps
        models[row, :n] = torch.tensor(schedule.models)
        times[row, :n] = torch.tensor(space.timesteps[n]) / space.num_timesteps
        mask[row, :n] = 1
    return EncodedSchedules(models, times, mask)


def ranking_loss(predicted: Tensor, scores: Tensor) -> Tensor:
    """``Σ_{s_i < s_j} max(0, (r_j − r_i) − (p_j − p_i))`` over the number of pairs.

    ``r`` are the scores' ranks, at a standard deviation of one: the margin between two schedules
    grows with how far apart they are, where the paper's is the same for all, and a few very bad
    schedules change nothing. Only the order of the scores counts.

    Args:
        predicted: p, ``(B,)``.
        scores: s, ``(B,)``, lower is better; ties make no pair.

    """
    ranks = torch.searchsorted(scores.sort().values, scores).to(predicted.dtype)
    ranks = ranks * (SQRT_12 / max(len(scores) - 1, 1))
    gaps = ranks[None, :] - ranks[:, None]
    missing = (gaps - (predicted[None, :] - predicted[:, None])).clamp(min=0)
    ordered = gaps > 0
    return (missing * ordered).sum() / ordered.sum().clamp(min=1)


def fit_predictor(
    space: ScheduleSpace,
    schedules: Sequence[ModelSchedule],
    scores: Sequence[float],
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
) -> SchedulePredictor:
    """Fits a network to the order of measured schedules: on the CPU, all at once, seeded.

    Args:
        space: whose schedules.
        schedules: at least 4.
        scores: of each, finite, lower is better.
        seed: of the network's initial weights.
        iterations: of AdamW.

    Raises:
        DataError: fewer than 4 schedules, or a score that is not finite.

    """
    values = torch.tensor(list(scores), dtype=torch.float64)
    if len(schedules) < FEWEST or len(values) != len(schedules) or not values.isfinite().all():
        raise DataError(
            f"{len(schedules)} schedules with {int(values.isfinite().sum())} finite scores are "
            f"no data for a predictor",
            fix=f"measure at least {FEWEST} schedules",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "schedule predictor"))
        network = ScheduleNetwork(space.models)
    encoded = encode(space, schedules)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _ in range(iterations):
        loss = ranking_loss(network(encoded), values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return SchedulePredictor(space, network.eval())


def kendall_tau(predicted: Sequence[float], scores: Sequence[float]) -> float:
    """Kendall's τ_b between two orders, in [−1, 1]; not a number where one of them is all ties.

    ``Σ_ij a_ij b_ij / √(Σ a_ij² Σ b_ij²)`` with the signs ``a_ij``, ``b_ij`` of the differences.
    """
    orders = [torch.tensor(list(values), dtype=torch.float64) for values in (predicted, scores)]
    first, second = ((order[:, None] - order).sign() for order in orders)
    return float((first * second).sum() / (first.square().sum() * second.square().sum()).sqrt())
