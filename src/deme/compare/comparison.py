"""A comparison under way: its arms are made, tuned alike, and judged on the same noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..config import parse_config
from ..decouple import DecoupleConfig
from ..errors import ConfigError
from ..generate import SamplerConfig, build_scheduler
from ..runs.context import RunContext
from ..runs.spec import RunSpec
from .arms.contract import Arm
from .contender import Contender, Setting
from .costs import FlopCounter
from .drawing import ImageSet, draw_all
from .spec import CompareSpec
from .tasks import AverageTask, Task, TrainTask, do_task, sibling_store
from .tuning import Choice, Trial, best_of


class Comparison:
    """Makes the arms. All that it makes is kept by its meaning: the same command resumes.

    Args:
        context: the comparison's own run.
        spec: the comparison.

    """

    def __init__(self, context: RunContext, spec: CompareSpec) -> None:
        self.context = context
        self.spec = spec
        self.choices: dict[tuple[str, int], Choice] = {}
        self._contenders: dict[tuple[str, int, Setting], Contender] = {}
        self._done: set[Task] = set()
        self._flops = FlopCounter(context)

    # What arms ask for (see arms.contract.Bench)

    @property
    def budget_steps(self) -> int:
        """Optimizer steps that each arm may take in all: the base run's experts together."""
        steps = self.context.denoiser.schedule.num_timesteps
        config = self.spec.run.decouple
        return config.steps * len(config.partition(steps))

    def training_run(self, seed: int, setting: Setting, **decouple: Any) -> RunSpec:
        """A run that trains and nothing else; see the contract.

        Raises:
            ConfigError: keys or values of ``decouple`` that are not valid.

        """
        base = self.spec.run
        precision = base.decouple.mixed_precision
        if decouple.get("mixed_precision", precision) != precision:
            raise ConfigError(
                f"mixed_precision {decouple['mixed_precision']} is not the comparison's "
                f"{precision}: a process computes in one precision",
                fix="set run.decouple.mixed_precision for all arms",
            )
        values = base.decouple.model_dump(mode="json", exclude_unset=True)
        values |= {"learning_rate": setting.learning_rate}
        if self.spec.trials.averages:
            values |= {"snapshots": 1, "snapshot_sigmas": sorted(self.spec.trials.averages)}
        values |= decouple
        if values.get("timestep_boundaries") is None:
            values.pop("timestep_boundaries", None)
        return RunSpec(
            name="train",  # whichever comparison it is for: another finds it done
            model=base.model,
            data=base.data,
            detector=base.detector,
            seed=seed,
            decouple=parse_config(DecoupleConfig, values),
        )

    def arm(self, name: str) -> Arm:
        """An arm by its name."""
        return self.spec.arms[name]

    def settings(self) -> Sequence[Setting]:
        """The learning rates, at the published average."""
        return self.spec.settings()

    def contender(self, arm: str, seed: int, setting: Setting | None = None) -> Contender:
        """A model of an arm; see the contract."""
        chosen = self.choice(arm, seed).setting if setting is None else setting
        key = (arm, seed, chosen)
        if key not in self._contenders:
            self._contenders[key] = self.spec.arms[arm].contender(self, seed, chosen)
        return self._contenders[key]

    def flops_per_step(self, spec: RunSpec, index: int = 0) -> float | None:
        """Floating-point operations of one optimizer step, counted; None where they cannot be."""
        return self._flops.training_step(spec, index)

    # How the arms come to be

    def check(self) -> None:
        """Asks, before anything is trained, all that can be asked of the arms by then.

        Raises:
            ConfigError: an arm, or a number of sampler steps, that is not possible.
            DemeError: a model that an arm names and that cannot be opened or compared.

        """
        table, search = self.spec.run.evaluate, self.spec.run.search
        curve = [
            table.model_copy(update={"sampler_steps": n}) for n in self.spec.curve.sampler_steps
        ]
        for sampler in (table, search, *curve):
            build_scheduler(self.context.denoiser, sampler)
        for name, arm in self.spec.arms.items():
            try:
                arm.check(self)
            except ConfigError as error:
                raise ConfigError(f"arms.{name}: {error}") from error

    def choice(self, arm: str, seed: int) -> Choice:
        """What was chosen for an arm at a training seed."""
        tuned_at = seed if self.spec.trials.at == "each" else self.spec.seeds[0]
        return self.choices[arm, tuned_at]

    def make(self, names: Sequence[str]) -> None:
        """Makes arms that do not depend on each other: tuned, trained at every seed, drawn."""
        seeds = self.spec.seeds
        for seed in seeds if self.spec.trials.at == "each" else seeds[:1]:
            self._tune(names, seed)
        self._do((name, seed, self.choice(name, seed).setting) for name in names for seed in seeds)
        draw_all(self.context, [s for name in names for s in self.judged_sets(name)], "evaluate")

    def judged_sets(self, name: str) -> list[ImageSet]:
        """The image sets that judge an arm: each noise seed for each training seed, in order."""
        return [
            self._set(self.contender(name, seed), noise, judged=True)
            for seed in self.spec.seeds
            for noise in self.spec.run.evaluate.seeds
        ]

    def _tune(self, names: Sequence[str], seed: int) -> None:
        tuned = [name for name in names if self.spec.arms[name].tuned]
        for name in names:
            if name not in tuned:
                of = self.arm(name).made_of()
                setting = self.settings()[0] if of is None else self.choice(of, seed).setting
                self.choices[name, seed] = Choice(setting, ())
        trials = self._tried({name: list(self.settings()) for name in tuned}, seed)
        found = {name: best_of(trials[name]) for name in tuned}
        averages = {
            name: [
                Setting(choice.setting.learning_rate, width) for width in self.spec.trials.averages
            ]
            for name, choice in found.items()
        }
        more = self._tried(averages, seed)
        for name in tuned:
            self.choices[name, seed] = best_of([*trials[name], *more[name]])

    def _tried(self, wanted: dict[str, list[Setting]], seed: int) -> dict[str, list[Trial]]:
        """Each arm's value at each setting, on the search's noise."""
        self._do((name, seed, s) for name, settings in wanted.items() for s in settings)
        if self.spec.trials.count == 1:  # nothing to choose, nothing to measure
            return {name: [Trial(s, None) for s in settings] for name, settings in wanted.items()}
        sets = {
            (name, setting): self._set(
                self.contender(name, seed, setting),
                self.spec.run.search.seed,
                judged=False,
            )
            for name, settings in wanted.items()
            for setting in settings
        }
        draw_all(self.context, list(sets.values()), "tune")
        detector = self.context.detectors[0].name
        reference = self.context.references[detector]
        return {
            name: [
                Trial(
                    setting,
                    reference.search_distance(sets[name, setting].tables(self.context)[detector]),
                )
                for setting in settings
            ]
            for name, settings in wanted.items()
        }

    def _set(self, contender: Contender, seed: int, *, judged: bool) -> ImageSet:
        count = self.judged_count() if judged else self.spec.run.search.images
        sampler = self.sampler_of(contender, judged=judged)
        return ImageSet(contender.model, sampler, seed, count, judged)

    def sampler_of(self, contender: Contender, *, judged: bool = True) -> SamplerConfig:
        """How an arm's images are drawn: its own sampler, or the protocol's."""
        own: SamplerConfig = self.spec.run.evaluate if judged else self.spec.run.search
        fields = set(SamplerConfig.model_fields)
        return contender.sampler or SamplerConfig(**own.model_dump(include=fields))

    def judged_count(self) -> int:
        """Images for each number of the table."""
        reference = self.context.references[self.context.detectors[0].name]
        return reference.generated_count(self.spec.run.evaluate.images)

    def _do(self, wanted: Iterable[tuple[str, int, Setting]]) -> None:
        """Does the tasks of arms, phase by phase, each task once."""
        phases = [self.arm(name).phases(self, seed, s) for name, seed, s in wanted]
        for depth in range(max(map(len, phases), default=0)):
            tasks = dict.fromkeys(t for phase in phases if depth < len(phase) for t in phase[depth])
            self._side_by_side(list(tasks))

    def _side_by_side(self, wanted: list[Task]) -> None:
        tasks = [task for task in wanted if task not in self._done]
        if not tasks:
            return
        self._sweep(tasks)
        title = f"{len(tasks)} × {type(tasks[0]).__name__}"
        with self.context.reporter.bar(title, len(tasks)) as bar:
            for _ in self.context.workers.map(do_task, tasks):
                bar.advance(1)
        self._done.update(tasks)

    def _sweep(self, tasks: list[Task]) -> None:
        """Removes what killed trainings left half written, before several processes begin."""
        runs = {task.spec for task in tasks if isinstance(task, TrainTask | AverageTask)}
        for text in runs:
            store = sibling_store(self.context, RunSpec.model_validate_json(text))
            store.prepare()
            store.sweep_where_idle()


def levels(arms: dict[str, Any]) -> list[list[str]]:
    """Arms in groups, each made of arms of the groups before alone; their order is kept."""
    depth: dict[str, int] = {}
    for name, arm in arms.items():
        depth[name] = max((depth[of] + 1 for of in arm.needs()), default=0)
    return [[n for n in depth if depth[n] == d] for d in range(max(depth.values()) + 1)]
