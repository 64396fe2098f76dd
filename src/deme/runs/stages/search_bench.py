"""What the candidates of a run's search are, and what each is measured with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from torch import Tensor

from ...decouple import ExpertSnapshots, validation_table
from ...denoisers import Denoiser
from ...files import hash_value
from ...generate import SamplerConfig
from ...merge import InPlaceMerger, StateDict, TaskVector
from ...merge.places import places_of
from ...search import (
    LOSS_TABLE,
    REWARD_TABLE,
    Box,
    DenoisingProblem,
    GradientStrategy,
    LossObjective,
    MergeEvaluator,
    MergeSpace,
    Objective,
    OutwardStrategy,
    RewardColumn,
    ScaledAnchors,
    SetStore,
    Snapshot,
    Strategy,
    SurfaceStrategy,
    load_reward,
    make_objectives,
    make_strategy,
    minimise_in_box,
    reward_digest,
)
from ..context import RunContext
from .sampling import make_request
from .statistics import expert_statistics, statistics_from

FINE_RADIUS = 0.3
"""The first step of blocks away from the weights of whole experts, in weights."""


@dataclass(frozen=True)
class SearchBench:
    """What every candidate is evaluated with: one network that is switched in place."""

    space: MergeSpace
    evaluator: MergeEvaluator
    objectives: tuple[Objective, ...]
    sets: SetStore


def search_space(context: RunContext) -> MergeSpace:
    """What the run's search looks for."""
    denoiser = context.denoiser
    places = places_of(denoiser.component, denoiser.weights())
    names = [expert.name for expert in context.experts]
    steps = None
    if context.spec.search.snapshots:
        kept = context.spec.decouple.snapshot_schedule().steps
        # before the second snapshot averages cannot be told apart
        steps = (float(kept[1]), float(kept[-1]))
    return MergeSpace.of(context.spec.search, names, places, steps)


def expert_snapshots(context: RunContext, index: int) -> ExpertSnapshots:
    """What is kept of an expert's training.

    Raises:
        ConfigError: nothing is.

    """
    return ExpertSnapshots.open(context.expert_folder(context.experts[index]))


def snapshot_vectors(context: RunContext, chosen: Sequence[Snapshot]) -> list[TaskVector]:
    """``τ`` of each expert at its chosen step and width."""
    found = []
    for index, (step, width) in enumerate(chosen):
        weights = expert_snapshots(context, index).reconstruct(step, width, tolerance=math.inf)
        name = context.experts[index].name
        found.append(TaskVector.between(context.base, StateDict(weights, name), name))
    return found


def features_from(context: RunContext) -> dict[str, Any]:
    """What decides a candidate's features, all but the noise."""
    config = context.spec.search
    parameters = config.model_dump(mode="json")["parameters"]  # lists, as they are read back
    return {
        "base": context.base_digest,
        "experts": [context.store.digest_of(f"experts/{e.name}") for e in context.experts],
        "sampler": config.model_dump(mode="json", include=set(SamplerConfig.model_fields)),
        "detector": context.detectors[0].digest,
        "method": [config.merge_method, config.per, [list(p) for p in sorted(parameters.items())]],
        "snapshots": config.snapshots,
        "reward": None if config.reward is None else reward_digest(config.reward),
        "data": context.source.digest,
        **statistics_from(context),
    }


@lru_cache(maxsize=1)  # of one run: several in one process must not keep each other's models
def _merger(context: RunContext) -> InPlaceMerger:
    """The network that is switched, whatever the noise."""
    method = context.spec.search.merge_method
    denoiser = context.denoiser.clone()
    return InPlaceMerger(
        denoiser,
        context.base,
        context.task_vectors,
        method=method,
        statistics=expert_statistics(context),
    )


@lru_cache(maxsize=2)  # the search's noise and the fresh
def search_bench(context: RunContext, seed: int) -> SearchBench:
    """The bench for images from one noise seed; made once in each process."""
    config = context.spec.search
    space = search_space(context)
    objectives = tuple(search_objectives(context))
    read = {name for objective in objectives for name in objective.reads}
    evaluator = MergeEvaluator(
        space,
        _merger(context),
        make_request(context, config, seed, config.images),
        _features(context, read),
        partial(_losses, context) if LOSS_TABLE in read else None,
        partial(snapshot_vectors, context),
    )
    folder = context.store.path / "search" / f"features-{seed}"
    made_from = {**features_from(context), "seed": seed, "tables": sorted(read)}
    sets = SetStore(
        folder,
        hash_value(made_from),
        whole=(LOSS_TABLE,),
        protocol={"protocol": search_protocol(context), "seed": seed},
    )
    return SearchBench(space, evaluator, objectives, sets)


def search_objectives(context: RunContext) -> list[Objective]:
    """What the run's search minimises, against the search's own real images."""
    detector = context.detectors[0]
    reference = context.references[detector.name]
    return make_objectives(
        context.spec.search,
        frechet_reference=reference.search,
        real_features=reference.features[reference.split[1]],
        table=detector.name,
    )


def search_protocol(context: RunContext) -> str:
    """How the search's numbers are made, in a line."""
    config = context.spec.search
    reference = context.references[context.detectors[0].name]
    return (
        f"{reference.protocol(reference.split[1]).describe()} · {config.images} generated images "
        f"· {config.describe()} · seed {config.seed}"
    )


def make_search_strategy(context: RunContext, objective: Objective) -> Strategy:
    """The strategy that the configuration names, over the run's space.

    Blocks are searched outwards from the best weights of whole experts.
    """
    config, space = context.spec.search, search_space(context)
    if config.per != "block":
        return _anchored(_strategy(context, space, objective), space, objective)
    coarse = space.coarse()
    experts = len(space.experts)
    count = experts * len(space.groups)
    inner = _anchored(_strategy(context, coarse, objective), coarse, objective)
    fine = _surface(
        context, space, objective, space.box, radius=FINE_RADIUS, budget=config.evaluations
    )
    return OutwardStrategy(
        inner,
        space.lifted,
        lambda candidate: (*candidate[:experts], *candidate[count:]),
        fine,
    )


def _strategy(context: RunContext, space: MergeSpace, objective: Objective) -> Strategy:
    config, box = context.spec.search, space.box
    if config.per == "block":  # the budget is for the blocks
        config = config.model_copy(update={"evaluations": None})
    return make_strategy(
        config,
        box,
        surface=lambda: _surface(context, space, objective, box, budget=config.evaluations),
        gradient=lambda: _gradient(context, box, config.evaluations),
    )


def _surface(
    context: RunContext,
    space: MergeSpace,
    objective: Objective,
    box: Box,
    *,
    budget: int | None,
    radius: float | None = None,
) -> Strategy:
    config = context.spec.search
    options = {} if radius is None else {"radius": radius}
    return SurfaceStrategy(
        box,
        objective,
        evaluations=budget,
        batch=config.batch,
        seed=config.seed,
        units=space.units,
        **options,
    )


def _anchored(inner: Strategy, space: MergeSpace, objective: Objective) -> Strategy:
    if space.common or space.others:
        return inner  # a scale is searched already; what is no weight does not scale
    return ScaledAnchors(inner, objective, space.box, space.anchors()["pretrained"], space.units)


def _gradient(context: RunContext, box: Box, budget: int | None) -> Strategy:
    def minimise() -> tuple[float, ...]:
        problem = DenoisingProblem(
            context.denoiser.clone(),
            context.base,
            context.task_vectors,
            context.source,
            context.partition,
            images=context.spec.evaluate.validation_images,
        )
        return minimise_in_box(problem, box)

    options = {} if budget is None else {"evaluations": budget}
    return GradientStrategy(box, minimise, **options)


def _features(context: RunContext, read: set[str]) -> dict[str, Callable[[Tensor], Tensor]]:
    detector = context.detectors[0]
    makers: dict[str, Callable[[Tensor], Tensor]] = {}
    if detector.name in read:
        makers[detector.name] = detector.features
    reward = context.spec.search.reward
    if REWARD_TABLE in read and reward is not None:
        makers[REWARD_TABLE] = RewardColumn(load_reward(reward), reward)
    return makers


def _losses(context: RunContext, denoiser: Denoiser) -> Tensor:
    return validation_table(
        denoiser,
        context.source,
        context.partition,
        images=context.spec.evaluate.validation_images,
    )


def expected_evaluations(context: RunContext) -> int:
    """About how many candidates the search will evaluate, for plans; nothing is computed."""
    space = search_space(context)
    strategy = make_search_strategy(context, LossObjective())  # any will do: it is never asked
    return strategy.expected_evaluations() + len(space.anchors())
