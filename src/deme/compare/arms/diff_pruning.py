"""Pruned networks: one for each interval of timesteps, or one for all.

After "Mixture of Efficient Diffusion Experts Through Automatic Interval and Sub-Network Selection"
(Ganjdanesh et al., ECCV 2024, arXiv:2409.15557; the DeMe paper's DiffPruning). Where that learns
the intervals and the sub-networks by gradient, here the intervals are given and what each keeps is
chosen exactly among a few candidates, by what was measured of each.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

from pydantic import Field

from ...decouple import Partition
from ...denoisers import Denoiser
from ...ensembles.ratios import choose_ratios
from ...runs.flops import forward_flops
from ..contender import Contender, Cost, Setting
from ..models import PipelineModel, RoutedModel
from ..tasks import Task
from .contract import Arm, Bench
from .finetune import NOT_AN_EXPERT
from .pruning_tasks import (
    FinetuneTask,
    ProbeTask,
    PrunedAverageTask,
    PruningPlan,
    chosen,
    measured,
    step_shares,
)


class PrunedArm(Arm):
    """One narrower network for all timesteps: pruned, then finetuned for the whole budget."""

    kind: Literal["pruned"]
    """One narrower network for all timesteps."""
    kept: float = Field(default=0.7, gt=0, le=1)
    """Fraction of the pretrained network's operations that is kept, to the nearest that its
    architecture allows."""
    images: int = Field(default=256, ge=1)
    """Images on which it is measured which channels matter least."""

    def plan(self, bench: Bench, seed: int, setting: Setting) -> PruningPlan:
        """What is to be made."""
        total = bench.context.denoiser.schedule.num_timesteps
        found = _candidates(bench.context.denoiser, (self.kept,))
        return PruningPlan(
            run=_training_run(bench, seed, setting),
            boundaries=(0, total),
            widths=tuple(found),
            fractions=tuple(found.values()),
            kept=max(found.values()),
            steps=bench.budget_steps,
            probe_steps=0,
            p=0.0,
            images=self.images,
        )

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The training, and the average."""
        return _phases(self.plan(bench, seed, setting), setting)

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The pruned model."""
        return _contender(bench, self.plan(bench, seed, setting), setting)


class DiffPruningArm(Arm):
    """A narrower network for each interval; how narrow is chosen for each under one budget.

    Every candidate is pruned for every interval and finetuned a little. Its worth is the Fréchet
    distance on the search's noise where it serves its interval and the pretrained model the others.
    The choice minimises the sum of the intervals' distances. Those that were chosen are finetuned
    on, so that their first steps are not lost. All trainings together take the arms' budget.
    """

    kind: Literal["diff_pruning"]
    """A narrower network for each interval of timesteps."""
    intervals: int | list[int] = 2
    """How many intervals of equal length, or their inner boundaries."""
    kept: float = Field(default=0.7, gt=0, le=1)
    """Budget: the mean fraction of the pretrained network's operations over a sampler's steps."""
    ratios: tuple[float, ...] = Field(default=(1.0, 0.8, 0.6, 0.4, 0.2), min_length=1)
    """Candidates for each interval, to the nearest that the architecture allows."""
    probing: float = Field(default=0.25, ge=0, lt=1)
    """Fraction of the training budget that the candidates' first steps take together."""
    p: float = Field(default=0.0, ge=0, le=1)
    """Probability that a training draw is from all timesteps and not from the interval, the only
    one that the network will serve."""
    images: int = Field(default=256, ge=1)
    """Images on which it is measured which channels matter least."""

    def plan(self, bench: Bench, seed: int, setting: Setting) -> PruningPlan:
        """What is to be made.

        Raises:
            ConfigError: not even the narrowest candidates keep to the budget.

        """
        context = bench.context
        partition = self._partition(context.denoiser.schedule.num_timesteps)
        found = _candidates(context.denoiser, self.ratios)
        costs, count = list(found.values()), len(partition)
        # refuses a budget that cannot be kept before anything is trained
        nothing = [[0.0] * len(costs)] * count
        choose_ratios(nothing, [costs] * count, step_shares(context, partition), self.kept)
        probes = count * len(costs) if len(costs) > 1 else 0
        return PruningPlan(
            run=_training_run(bench, seed, setting),
            boundaries=partition.boundaries,
            widths=tuple(found),
            fractions=tuple(costs),
            kept=self.kept,
            steps=bench.budget_steps,
            probe_steps=int(bench.budget_steps * self.probing) // probes if probes else 0,
            p=self.p,
            images=self.images,
        )

    def _partition(self, total: int) -> Partition:
        if isinstance(self.intervals, int):
            return Partition.uniform(self.intervals, total)
        return Partition.from_boundaries(self.intervals, total)

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The candidates, the chosen networks' trainings, and the averages."""
        return _phases(self.plan(bench, seed, setting), setting)

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The networks, routed by t."""
        return _contender(bench, self.plan(bench, seed, setting), setting)


@functools.lru_cache(maxsize=8)
def _candidates(denoiser: Denoiser, ratios: tuple[float, ...]) -> dict[tuple[int, ...], float]:
    from ...ensembles.pruning_widths import widths_keeping  # which imports diffusers' networks

    return widths_keeping(denoiser, ratios, forward_flops)


def _training_run(bench: Bench, seed: int, setting: Setting) -> str:
    settings = {**NOT_AN_EXPERT, "steps": bench.budget_steps}
    return bench.training_run(seed, setting, **settings).model_dump_json()


def _phases(plan: PruningPlan, setting: Setting) -> list[list[Task]]:
    intervals = range(len(plan.partition))
    phases: list[list[Task]] = []
    if plan.probes:
        tried, candidates = plan.without_budget, range(len(plan.widths))
        phases.append([ProbeTask(tried, i, c) for i in intervals for c in candidates])
    phases.append([FinetuneTask(plan, i) for i in intervals])
    if setting.average is not None:
        phases.append([PrunedAverageTask(plan, i, setting.average) for i in intervals])
    return phases


def _contender(bench: Bench, plan: PruningPlan, setting: Setting) -> Contender:
    store = bench.context.store
    names = [plan.network(i, setting.average) for i in range(len(plan.partition))]
    parts = tuple(PipelineModel(store.path / name, store.digest_of(name)) for name in names)
    choice = chosen(bench.context, plan)
    model = parts[0] if len(parts) == 1 else RoutedModel(parts, plan.boundaries)
    return Contender(model, _cost(bench, plan, choice), facts=_facts(bench, plan, choice))


def _cost(bench: Bench, plan: PruningPlan, choice: tuple[int, ...]) -> Cost:
    """All trainings, and the images that importances were measured on.

    Operations are those of plain finetuning, counted, by what each network keeps of them.
    """
    spec, config = plan.spec, plan.spec.decouple
    per_step = config.batch_size * config.gradient_accumulation_steps
    intervals = range(len(plan.partition))
    tried = list(plan.fractions) * len(plan.partition) if plan.probes else []
    pruned = tried or [plan.fractions[c] for c in choice]
    images = min(plan.images, len(bench.context.source))
    measured_on = images * sum(fraction < 1 for fraction in pruned)
    steps = sum(tried) * plan.probe_steps
    steps += sum(plan.fractions[choice[i]] * plan.final_steps(i) for i in intervals)
    flops = bench.flops_per_step(spec)
    return Cost(
        training_steps=plan.steps,
        training_images=plan.steps * per_step + measured_on,
        training_flops=None if flops is None else flops * (steps + measured_on / per_step),
        search_images=plan.probes * bench.context.spec.search.images,
    )


def _facts(bench: Bench, plan: PruningPlan, choice: tuple[int, ...]) -> dict[str, Any]:
    from ...ensembles.pruning_unet2d import skeleton

    context = bench.context
    shares = step_shares(context, plan.partition)
    intervals = [
        {
            "timesteps": [timesteps.low, timesteps.high],
            "sampler_steps": share,
            "widths": list(plan.widths[candidate]),
            "kept": plan.fractions[candidate],
            "parameters": skeleton(context.denoiser, plan.widths[candidate]).num_parameters(),
        }
        for timesteps, share, candidate in zip(plan.partition, shares, choice, strict=True)
    ]
    kept = sum(s * plan.fractions[c] for s, c in zip(shares, choice, strict=True))
    facts: dict[str, Any] = {"kept": kept, "intervals": intervals}
    if plan.probes:
        facts["candidates"] = {
            "kept": list(plan.fractions),
            "distances": measured(context, plan),
        }
    return facts
