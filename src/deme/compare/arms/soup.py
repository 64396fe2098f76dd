"""Model soups: the models of one arm at all rates that were tried, averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigError
from ...files import atomic_path, hash_value, read_json, write_json
from ...generate import SamplerConfig
from ...runs.context import RunContext
from ...runs.spec import RunSpec
from ..contender import Contender, Cost, Setting
from ..drawing import ImageSet
from ..models import CombinedModel, ComparedModel, PipelineModel
from ..tasks import Task, sibling
from .contract import Arm, Bench
from .finetune import FinetuneArm
from .trained import finished_experts


@dataclass(frozen=True)
class GreedySoup:
    """What a greedy selection kept.

    Attributes:
        kept: indices of the ingredients, in the order in which they were added.
        value: of the soup, lower is better.
        tried: how many soups of several ingredients were measured.

    """

    kept: tuple[int, ...]
    value: float
    tried: int


def greedy_soup(
    values: Sequence[float], value_of: Callable[[tuple[int, ...]], float]
) -> GreedySoup:
    """Adds ingredients from the best on, each that does not make the soup worse.

    Recipe 1 of Wortsman et al., arXiv:2203.05482, with a distance, where lower is better, for the
    held-out accuracy. An ingredient that is left out does not end the selection.

    Args:
        values: of each ingredient alone, at least one.
        value_of: measures the soup of these ingredients in equal parts.

    """
    first, *others = sorted(range(len(values)), key=lambda index: (values[index], index))
    kept, best = (first,), values[first]
    for index in others:
        value = value_of((*kept, index))
        if value <= best:
            kept, best = (*kept, index), value
    return GreedySoup(kept, best, len(others))


@dataclass(frozen=True)
class GreedyTask:
    """Which models make the soup, on the search's noise and real images.

    Attributes:
        runs: the runs that trained the models, as JSON, one model each.
        average: the relative width of their weights' average; None: the published one.

    """

    runs: tuple[str, ...]
    average: float | None

    def run(self, context: RunContext) -> bool:
        """Measures and selects, or finds it done."""
        artifact, made_from = self.artifact(context), self._made_from(context)
        if context.store.is_complete(artifact, made_from):
            return False
        models = self.models(context)
        values = [_distance(context, model) for model in models]
        found = greedy_soup(values, lambda kept: _distance(context, soup(context, models, kept)))
        images = (len(values) + found.tried) * context.spec.search.images
        record = {"values": values, "kept": list(found.kept), "value": found.value}
        with atomic_path(context.store.path / artifact) as partial:
            write_json(partial, {**record, "images": images})
        context.store.complete(artifact, made_from)
        return True

    def models(self, context: RunContext) -> tuple[PipelineModel, ...]:
        """The ingredients, when they are trained."""
        runs = [sibling(context, RunSpec.model_validate_json(text)) for text in self.runs]
        return tuple(model for run in runs for model in finished_experts(run, self.average))

    def artifact(self, context: RunContext) -> str:
        """Where the selection is, in the comparison's folder."""
        return f"arms/soup/{hash_value(self._made_from(context))[:20]}.json"

    def _made_from(self, context: RunContext) -> dict[str, object]:
        config = context.spec.search
        detector = context.detectors[0]
        reference = context.references[detector.name]
        return {
            "models": [model.digest for model in self.models(context)],
            "sampler": _sampler(context).model_dump(mode="json"),
            "seed": config.seed,
            "images": config.images,
            "detector": detector.digest,
            "reference": reference.protocol(reference.split[1]).reference_digest,
        }


def soup(
    context: RunContext, models: Sequence[ComparedModel], kept: Sequence[int]
) -> ComparedModel:
    """``1/n Σ θ_i`` of the kept models; a soup of one is that model."""
    if len(kept) == 1:
        return models[kept[0]]
    parts = tuple(models[index] for index in kept)
    return CombinedModel(context.base_digest, parts, (1 / len(parts),) * len(parts))


def _distance(context: RunContext, model: ComparedModel) -> float:
    """The distance that arms are tuned by; a model that was drawn for that is not drawn again."""
    config, detector = context.spec.search, context.detectors[0].name
    images = ImageSet(model, _sampler(context), config.seed, config.images, judged=False)
    for task in images.tasks():
        task.run(context)
    return context.references[detector].search_distance(images.tables(context)[detector])


def _sampler(context: RunContext) -> SamplerConfig:
    fields = set(SamplerConfig.model_fields)
    return SamplerConfig(**context.spec.search.model_dump(include=fields))


class SoupArm(Arm):
    """The mean of a finetuning's models at all learning rates (arXiv:2203.05482).

    Its ingredients are trained at the whole budget each, so a soup of n rates takes n times the
    budget of the arm that it is made of, and its cost says so. For a soup at the same budget make
    it of a finetuning with ``decouple: {steps: …}`` of an n-th.
    """

    kind: Literal["soup"]
    """The models of a finetuning at all learning rates, averaged."""
    of: str
    """An arm above of kind finetune; its chosen average of the weights is taken of each model."""
    how: Literal["uniform", "greedy"] = "greedy"
    """uniform: all in equal parts. greedy: from the best on, each that does not raise the distance
    on the search's noise."""

    def made_of(self) -> str:
        """The arm whose models these are."""
        return self.of

    @property
    def tuned(self) -> bool:
        """All rates are in it: there is nothing to choose."""
        return False

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The trainings at every rate, which other seeds lack, and the selection."""
        each = [self._arm(bench).phases(bench, seed, s) for s in _settings(bench, setting)]
        depths = itertools.zip_longest(*each, fillvalue=())
        phases: list[list[Task]] = [[task for tasks in depth for task in tasks] for depth in depths]
        return phases if self.how == "uniform" else [*phases, [self._task(bench, seed, setting)]]

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The soup."""
        context, settings = bench.context, _settings(bench, setting)
        arm, task = self._arm(bench), self._task(bench, seed, setting)
        models = task.models(context)
        kept, drawn = list(range(len(models))), 0
        if self.how == "greedy":
            found = read_json(context.store.path / task.artifact(context))
            kept, drawn = found["kept"], found["images"]
        cost = Cost.sum((arm.contender(bench, seed, s).cost for s in settings), search_images=drawn)
        facts = {
            "learning_rates": [settings[index].learning_rate for index in kept],
            "models_trained": len(models),
        }
        return Contender(soup(context, models, kept), cost, facts=facts)

    def _arm(self, bench: Bench) -> FinetuneArm:
        arm = bench.arm(self.of)
        if not isinstance(arm, FinetuneArm):
            raise ConfigError(
                f"A soup is made of a finetuning's models, and the arm {self.of} is none",
                fix="name an arm of kind finetune",
            )
        return arm

    def _task(self, bench: Bench, seed: int, setting: Setting) -> GreedyTask:
        arm = self._arm(bench)
        runs = [arm.run(bench, seed, s).model_dump_json() for s in _settings(bench, setting)]
        return GreedyTask(tuple(runs), setting.average)


def _settings(bench: Bench, setting: Setting) -> list[Setting]:
    """Every rate, at one average."""
    return [Setting(tried.learning_rate, setting.average) for tried in bench.settings()]
