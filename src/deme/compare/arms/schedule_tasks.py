"""Units of work of OMS-DPM: operations counted, schedules measured, finalists found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...denoisers import Denoiser
from ...ensembles.oms import held_out_tau, propose
from ...ensembles.predictor import fit_predictor
from ...ensembles.schedule import ModelSchedule
from ...files import hash_value
from ...generate import SamplerConfig
from ...runs.context import RunContext
from ..costs import sample_flops
from .schedule_bank import CHUNK, ScheduleBank, measured_name


@dataclass(frozen=True)
class CountTask:
    """Operations of one call of each model of the zoo, and of the pretrained model."""

    bank: ScheduleBank

    def run(self, context: RunContext) -> bool:
        """Counts them, or finds it done."""
        bank = self.bank.open(context)
        if bank.has("flops"):
            return False
        sampler = self.bank.sampler
        own, rest = call_flops(context.denoiser, sampler)
        calls = [call_flops(model.open(context), sampler)[0] for model in bank.zoo]
        bank.keep("flops", {"pretrained": own, "rest": rest, "models": calls})
        return True


@dataclass(frozen=True)
class MeasureTask:
    """The distances of schedules ``[start, start + CHUNK)`` of a bank."""

    bank: ScheduleBank
    start: int

    def run(self, context: RunContext) -> bool:
        """Draws and measures them, or finds it done."""
        bank, name = self.bank.open(context), measured_name(self.start)
        if bank.has(name):
            return False
        schedules = bank.first()[self.start : self.start + CHUNK]
        values = bank.distances(schedules, self.bank.images)
        bank.keep(name, [[s.models, v] for s, v in zip(schedules, values, strict=True)])
        return True


@dataclass(frozen=True)
class ProposeTask:
    """The few schedules within a budget that a predictor thinks best.

    Attributes:
        bank: what is measured.
        budget: part of the pretrained model's operations for one image.
        finalists: how many.

    """

    bank: ScheduleBank
    budget: float
    finalists: int

    @property
    def name(self) -> str:
        """Of the artifact: the finalists, and Kendall's τ of the predictor."""
        return f"finalists-{self.budget}-{self.finalists}"

    def run(self, context: RunContext) -> bool:
        """Fits and evolves, or finds it done."""
        bank = self.bank.open(context)
        if bank.has(self.name):
            return False
        space, measured, seed = bank.space(), bank.measured(), context.spec.search.seed
        predictor = fit_predictor(space, list(measured), list(measured.values()), seed=seed)
        limit = bank.limit(self.budget)
        found = propose(space, measured, predictor, limit, count=self.finalists, seed=seed)
        tau = held_out_tau(space, measured, seed=seed)
        schedules = [schedule.models for schedule in found]
        bank.keep(self.name, {"schedules": schedules, "tau": None if math.isnan(tau) else tau})
        return True


@dataclass(frozen=True)
class FinalTask:
    """The distance of one finalist, on as many images as the search draws."""

    proposal: ProposeTask
    index: int

    def run(self, context: RunContext) -> bool:
        """Draws and measures it, or finds it done."""
        bank = self.proposal.bank.open(context)
        finalists = bank.read(self.proposal.name)["schedules"]
        if self.index >= len(finalists):
            return False
        schedule = ModelSchedule(tuple(finalists[self.index]))
        name, images = final_name(schedule), context.spec.search.images
        if bank.has(name, images=images):
            return False
        (value,) = bank.distances([schedule], images)
        bank.keep(name, value, images=images)
        return True


def final_name(schedule: ModelSchedule) -> str:
    """Where a finalist's distance is."""
    return f"final-{hash_value(schedule.models)[:20]}"


def call_flops(denoiser: Denoiser, sampler: SamplerConfig) -> tuple[float, float]:
    """Operations of one network call, and of all else that one image needs."""
    one, two = (
        sample_flops(denoiser, sampler.model_copy(update={"sampler_steps": steps}))
        for steps in (1, 2)
    )
    return two - one, 2 * one - two
