"""OMS-DPM: which model of a zoo serves which sampler step, within a budget (arXiv:2306.08860)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from ...ensembles.schedule import ModelSchedule
from ...errors import ConfigError
from ...generate import SamplerConfig
from ..contender import Contender, Cost, Setting
from ..tasks import Task
from .contract import Arm, Bench
from .finetune import FinetuneArm
from .schedule_bank import CHUNK, OpenBank, ScheduleBank, parts_of
from .schedule_tasks import CountTask, FinalTask, MeasureTask, ProposeTask, final_name

SHARES = (1.0, 2 / 3, 1 / 2, 1 / 3, 1 / 4)
"""Numbers of sampler steps that schedules may have, as parts of the protocol's."""


class OmsDpmArm(Arm):
    """A model schedule: several networks in memory, one of them for each sampler step.

    The zoo are a finetuning's models at all learning rates and the networks of the arms named in
    ``zoo``. Random schedules of it are measured on the search's noise and real images, a predictor
    learns their order, an evolutionary search finds the schedules that it thinks best within the
    budget, and a few of them are measured again, on as many images as the search draws. The
    measured schedules do not depend on the budget: arms that differ in it share them.

    The budget is kept in counted operations, which are the same on every machine. Where all models
    of the zoo cost the same, it decides the number of steps alone. The zoo's trainings are counted
    in full, each finished arm of the zoo once; two arms that are made of the same trainings count
    them twice.
    """

    kind: Literal["oms_dpm"]
    """A zoo's models, each sampler step served by one."""
    of: str
    """An arm above of kind finetune; its models at all learning rates, with the weights' average
    that it chose, join the zoo."""
    zoo: tuple[str, ...] = ()
    """Further arms above whose networks join it; each expert of a routed arm is one."""
    budget: float = Field(default=1.0, gt=0)
    """Operations for one image, as a part of the pretrained model's at the protocol's steps."""
    sampler_steps: tuple[int, ...] = ()
    """Numbers of steps that a schedule may have; empty: the protocol's, and 2/3, 1/2, 1/3 and 1/4
    of it."""
    schedules: int = Field(default=96, ge=4)
    """How many random schedules are measured, beside each model and routed arm alone at each
    number of steps."""
    images: int = Field(default=512, ge=2)
    """Images drawn for each of them."""
    finalists: int = Field(default=8, ge=1)
    """How many of the predictor's best are measured again, on `search.images` images."""

    @field_validator("zoo", "sampler_steps")
    @classmethod
    def _different(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("the values must be different from each other")
        return values

    def made_of(self) -> str:
        """The arm whose models at all rates are in the zoo."""
        return self.of

    def needs(self) -> tuple[str, ...]:
        """Every arm of the zoo."""
        return (self.of, *self.zoo)

    @property
    def tuned(self) -> bool:
        """All rates are in it: there is nothing to choose."""
        return False

    def check(self, bench: Bench) -> None:
        """All but the zoo, which is not there yet."""
        self._arm(bench).check(bench)
        _steps(self.sampler_steps, bench.context.spec.evaluate)

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The trainings at every rate, which other seeds lack, then the search."""
        bank, proposal = self._tasks(bench, seed, setting)
        each = [self._arm(bench).phases(bench, seed, s) for s in _settings(bench, setting)]
        depths = itertools.zip_longest(*each, fillvalue=())
        return [
            *([task for tasks in depth for task in tasks] for depth in depths),
            [CountTask(bank)],
            [MeasureTask(bank, start) for start in range(0, bank.most(), CHUNK)],
            [proposal],
            [FinalTask(proposal, index) for index in range(self.finalists)],
        ]

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The finalist that came out best, with a sampler of as many steps as it has."""
        bank, proposal = self._tasks(bench, seed, setting)
        opened = bank.open(bench.context)
        found = opened.read(proposal.name)
        finalists = [ModelSchedule(tuple(models)) for models in found["schedules"]]
        values = {schedule: opened.read(final_name(schedule)) for schedule in finalists}
        best = min(finalists, key=lambda schedule: (values[schedule], schedule))
        measured = len(opened.measured())
        drawn = measured * self.images + len(finalists) * bench.context.spec.search.images
        return Contender(
            opened.model(best),
            self._cost(bench, seed, setting, drawn),
            bank.sampler.model_copy(update={"sampler_steps": best.steps}),
            {
                **_facts(opened, best, self._names(bench, seed, setting, bank)),
                "operations": opened.space().cost(best) / bank.sampler.sampler_steps,
                "schedules_measured": measured,
                "predictor_tau": found["tau"],
            },
        )

    def _tasks(self, bench: Bench, seed: int, setting: Setting) -> tuple[ScheduleBank, ProposeTask]:
        arm = self._arm(bench)
        fields = set(SamplerConfig.model_fields)
        sampler = SamplerConfig(**bench.context.spec.evaluate.model_dump(include=fields))
        bank = ScheduleBank(
            runs=tuple(
                arm.run(bench, seed, tried).model_dump_json() for tried in _settings(bench, setting)
            ),
            average=setting.average,
            others=tuple(bench.contender(name, seed).model for name in self.zoo),
            sampler=sampler,
            steps=_steps(self.sampler_steps, sampler),
            schedules=self.schedules,
            images=self.images,
        )
        return bank, ProposeTask(bank, self.budget, self.finalists)

    def _arm(self, bench: Bench) -> FinetuneArm:
        arm = bench.arm(self.of)
        if not isinstance(arm, FinetuneArm):
            raise ConfigError(
                f"The zoo begins with a finetuning's models, and the arm {self.of} is none",
                fix="name an arm of kind finetune as `of`, and others in `zoo`",
            )
        return arm

    def _names(
        self, bench: Bench, seed: int, setting: Setting, bank: ScheduleBank
    ) -> dict[str, str]:
        """What each model of the zoo is called, by its digest."""
        names: dict[str, str] = {}
        models = bank.finetuned(bench.context)
        for tried, model in zip(_settings(bench, setting), models, strict=True):
            names.setdefault(model.digest, f"{self.of} at {tried.learning_rate:g}")
        for name, model in zip(self.zoo, bank.others, strict=True):
            parts = parts_of(model)
            for number, part in enumerate(parts, start=1):
                numbered = name if len(parts) == 1 else f"{name} {number}/{len(parts)}"
                names.setdefault(part.digest, numbered)
        return names

    def _cost(self, bench: Bench, seed: int, setting: Setting, drawn: int) -> Cost:
        """The zoo's trainings, and all images that chose the schedule."""
        arm = self._arm(bench)
        made = [
            *(arm.contender(bench, seed, tried) for tried in _settings(bench, setting)),
            *(bench.contender(name, seed) for name in self.zoo),
        ]
        costs = {contender.model.digest: contender.cost for contender in made}.values()
        return Cost.sum(costs, search_images=drawn)


def _settings(bench: Bench, setting: Setting) -> list[Setting]:
    """Every rate, at the average that was chosen."""
    return [Setting(tried.learning_rate, setting.average) for tried in bench.settings()]


def _steps(given: Sequence[int], sampler: SamplerConfig) -> tuple[int, ...]:
    """The numbers of sampler steps, from many to few.

    Raises:
        ConfigError: a sampler that calls the network more than once in a step.

    """
    if sampler.sampler == "pndm":
        raise ConfigError(
            "pndm calls the network several times in a step, so no schedule says which model "
            "serves it",
            choices=("ddim", "ddpm", "dpmsolver++"),
            fix="set evaluate.sampler to another sampler, or leave the arm of kind oms_dpm out",
        )
    shares = {max(1, int(share * sampler.sampler_steps)) for share in SHARES}
    return tuple(sorted(given or shares, reverse=True))


def _facts(bank: OpenBank, schedule: ModelSchedule, names: dict[str, str]) -> dict[str, Any]:
    """The schedule in words, and the zoo that it was chosen from."""
    called = [names[model.digest] for model in bank.zoo]
    timesteps = bank.space().timesteps[schedule.steps]
    runs, place = [], 0
    for model, group in itertools.groupby(schedule.models):
        count = len(list(group))
        first, last = timesteps[place], timesteps[place + count - 1]
        runs.append(f"{count} × {called[model]} (t {first}–{last})")
        place += count
    return {"schedule": ", ".join(runs), "zoo": called}
