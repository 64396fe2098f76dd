"""A zoo of models and its measured schedules, which the arms of all budgets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...denoisers import Denoiser, RoutedDenoiser
from ...ensembles.oms import first_schedules
from ...ensembles.schedule import ModelSchedule, Route, ScheduleSpace
from ...files import hash_value, read_json, write_json
from ...generate import SamplerConfig, build_scheduler
from ...runs.context import RunContext
from ...runs.spec import RunSpec
from ...runs.stages.sampling import draw_features, make_request
from ..models import ComparedModel, RoutedModel
from ..tasks import sibling
from .trained import finished_experts

CHUNK = 8
"""Schedules that one task measures."""


@dataclass(frozen=True)
class ScheduleBank:
    """A zoo, and which of its schedules are measured before any budget is known.

    Attributes:
        runs: runs that train a model of the zoo each, as JSON; read when they are done.
        average: relative width of those models' average; None: the published one.
        others: further models, made before; of a routed ensemble the parts join the zoo, and the
            ensemble itself is measured.
        sampler: the protocol's, with its own number of steps.
        steps: numbers of sampler steps that schedules may have.
        schedules: how many random schedules are measured.
        images: how many are drawn for each.

    """

    runs: tuple[str, ...]
    average: float | None
    others: tuple[ComparedModel, ...]
    sampler: SamplerConfig
    steps: tuple[int, ...]
    schedules: int
    images: int

    def finetuned(self, context: RunContext) -> list[ComparedModel]:
        """The models that the runs trained."""
        runs = [sibling(context, RunSpec.model_validate_json(text)) for text in self.runs]
        return [model for run in runs for model in finished_experts(run, self.average)]

    def models(self, context: RunContext) -> list[ComparedModel]:
        """The zoo, each different model once."""
        parts = [part for model in self.others for part in parts_of(model)]
        each = [*self.finetuned(context), *parts]
        found: dict[str, ComparedModel] = {}
        for model in each:
            found.setdefault(model.digest, model)
        return list(found.values())

    def routes(self, zoo: Sequence[ComparedModel]) -> list[Route]:
        """The routed ensembles among the models, as members of the zoo."""
        place = {model.digest: index for index, model in enumerate(zoo)}
        return [
            Route(tuple(place[part.digest] for part in model.parts), model.boundaries)
            for model in self.others
            if isinstance(model, RoutedModel)
        ]

    def made_from(self, context: RunContext, zoo: Sequence[ComparedModel]) -> dict[str, object]:
        """All that decides the measured schedules."""
        detector = context.detectors[0]
        reference = context.references[detector.name]
        return {
            "models": [model.digest for model in zoo],
            "routes": [[r.members, r.boundaries] for r in self.routes(zoo)],
            "sampler": self.sampler.model_dump(mode="json"),
            "steps": list(self.steps),
            "schedules": self.schedules,
            "images": self.images,
            "seed": context.spec.search.seed,
            "detector": detector.digest,
            "reference": reference.protocol(reference.split[1]).reference_digest,
        }

    def open(self, context: RunContext) -> OpenBank:
        """The bank in its folder, when the models are made."""
        zoo = self.models(context)
        digest = hash_value(self.made_from(context, zoo))
        return OpenBank(self, context, tuple(zoo), digest)

    def most(self) -> int:
        """How many schedules are measured first, at most."""
        parts = sum(len(parts_of(model)) for model in self.others)
        ensembles = sum(isinstance(model, RoutedModel) for model in self.others)
        return (len(self.runs) + parts + ensembles) * len(self.steps) + self.schedules


@dataclass(frozen=True)
class OpenBank:
    """A bank in one process.

    Attributes:
        bank: its description.
        context: of the comparison's own run.
        zoo: the models.
        digest: of all that decides what is measured.

    """

    bank: ScheduleBank
    context: RunContext
    zoo: tuple[ComparedModel, ...]
    digest: str

    def artifact(self, name: str) -> str:
        """Where something of it is, in the comparison's folder."""
        return f"arms/oms_dpm/{self.digest[:20]}/{name}.json"

    def keep(self, name: str, value: object, **made_from: object) -> None:
        """Writes an artifact, and notes that it is complete."""
        write_json(self.context.store.path / self.artifact(name), value)
        self.context.store.complete(self.artifact(name), self._from(made_from))

    def has(self, name: str, **made_from: object) -> bool:
        """Whether an artifact is complete."""
        return self.context.store.is_complete(self.artifact(name), self._from(made_from))

    def read(self, name: str) -> Any:
        """An artifact that is complete."""
        return read_json(self.context.store.path / self.artifact(name))

    def _from(self, made_from: Mapping[str, object]) -> dict[str, object]:
        return {"bank": self.digest, **made_from}

    def space(self) -> ScheduleSpace:
        """The schedules of the zoo, at costs in calls of the pretrained model, by operations."""
        counted = self.read("flops")
        grids = {steps: self._timesteps(steps) for steps in self.bank.steps}
        total = self.context.denoiser.schedule.num_timesteps
        costs = tuple(call / counted["pretrained"] for call in counted["models"])
        return ScheduleSpace(costs, grids, total)

    def limit(self, budget: float) -> float:
        """The cost that a schedule may have, in calls of the pretrained model.

        ``budget`` is a part of all operations of one image of the pretrained model; those of its
        decoder, where it has one, are no calls.
        """
        counted = self.read("flops")
        own, rest = counted["pretrained"], counted["rest"]
        return (budget * (rest + self.bank.sampler.sampler_steps * own) - rest) / own

    def first(self) -> list[ModelSchedule]:
        """The schedules that are measured before any budget is known."""
        return first_schedules(
            self.space(),
            self.bank.schedules,
            routes=self.bank.routes(self.zoo),
            seed=self.context.spec.search.seed,
        )

    def measured(self) -> dict[ModelSchedule, float]:
        """Their distances."""
        rows = [
            row
            for start in range(0, self.bank.most(), CHUNK)
            for row in self.read(measured_name(start))
        ]
        return {ModelSchedule(tuple(models)): value for models, value in rows}

    def distances(self, schedules: Sequence[ModelSchedule], images: int) -> list[float]:
        """Distances on the search's noise and real images, each model loaded once."""
        context, space = self.context, self.space()
        used = sorted({model for schedule in schedules for model in schedule.models})
        opened = {index: self.zoo[index].open(context) for index in used}
        detector = context.detectors[0]
        found = []
        for schedule in schedules:
            sampler = self.bank.sampler.model_copy(update={"sampler_steps": schedule.steps})
            request = make_request(context, sampler, context.spec.search.seed, images)
            features = draw_features(_routed(opened, space.route(schedule)), request, [detector])
            reference = context.references[detector.name]
            found.append(reference.search_distance(features[detector.name]))
        return found

    def model(self, schedule: ModelSchedule) -> ComparedModel:
        """What draws as the schedule says."""
        route = self.space().route(schedule)
        parts = tuple(self.zoo[index] for index in route.members)
        return parts[0] if len(parts) == 1 else RoutedModel(parts, route.boundaries)

    def _timesteps(self, steps: int) -> tuple[int, ...]:
        sampler = self.bank.sampler.model_copy(update={"sampler_steps": steps})
        return tuple(int(t) for t in build_scheduler(self.context.denoiser, sampler).timesteps)


def measured_name(start: int) -> str:
    """The artifact of the first schedules' distances from the ``start``-th on."""
    return f"measured-{start:05d}"


def parts_of(model: ComparedModel) -> tuple[ComparedModel, ...]:
    """The networks that a model is made of."""
    return model.parts if isinstance(model, RoutedModel) else (model,)


def _routed(opened: Mapping[int, Denoiser], route: Route) -> RoutedDenoiser:
    return RoutedDenoiser([opened[index] for index in route.members], route.boundaries)
