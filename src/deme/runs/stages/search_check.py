"""Whether a search can be done, asked before anything is trained for it."""

from __future__ import annotations

from ...errors import ConfigError
from ...merge.apply import bind_in_memory
from ...merge.places import places_of
from ...search import load_reward
from ..context import RunContext
from .search_bench import expected_evaluations, search_space
from .statistics import require_possible_statistics


def require_possible_search(context: RunContext) -> None:
    """Makes what the search is made of, as far as it does without experts and images.

    A setting that is wrong would otherwise be told of after hours of training; and since it is
    part of a run's meaning, mending it names another run, which trains anew.

    Raises:
        DemeError: what the search would raise for its strategy, objective, reward, merge method
            or detector.

    """
    config = context.spec.search
    if "clip_score" in config.objective_names():
        raise ConfigError(
            "The objective clip_score needs captions, and this model takes none",
            fix="choose search.objective=frechet, kid, cmmd or loss",
        )
    if config.reward is not None:
        load_reward(config.reward)
    space = search_space(context)
    places = list(places_of(context.denoiser.component, context.denoiser.weights()).values())
    for corner in (space.box.low, space.box.high):
        point = space.at(corner)
        bind_in_memory(
            config.merge_method, point.weights, point.parameters, len(space.experts)
        ).probe(places)
    require_possible_statistics(context)
    expected_evaluations(context)  # makes the strategy
    _ = context.detectors
