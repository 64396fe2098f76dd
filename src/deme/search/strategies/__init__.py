"""Strategies: ways of searching a box, behind one seam.

===========================  =====================  ==============================================
``search.strategy``          class                  own number of evaluations for N weights
===========================  =====================  ==============================================
surface                      SurfaceStrategy        its own; see :mod:`.surface`
gradient                     GradientStrategy       its own; see :mod:`.gradient`
grid                         GridStrategy           :func:`grid_size`
coordinate                   CoordinateStrategy     12 N at most; about 5 N without interaction
gp                           OptunaStrategy         5 N + 5
tpe                          OptunaStrategy         20 N
cmaes                        CmaEsStrategy          40 N
evolution                    EvolutionStrategy      40 N
nsga2                        OptunaStrategy         40 N
random                       RandomStrategy         16 N
sobol                        SobolStrategy          the power of two from 16 N on
===========================  =====================  ==============================================

Around any of them :class:`HalvingStrategy`, where ``search.promotions`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...errors import ConfigError
from ..config import SearchConfig
from ..space import Box
from ..strategy import Strategy
from .cmaes import CmaEsStrategy
from .coordinate import CoordinateStrategy
from .evolution import EvolutionStrategy
from .grid import GridStrategy, full_grid_size, grid_size
from .halving import HalvingStrategy
from .optuna_sampler import OptunaStrategy
from .random import RandomStrategy
from .sobol import SobolStrategy

__all__ = [
    "CmaEsStrategy",
    "CoordinateStrategy",
    "EvolutionStrategy",
    "GridStrategy",
    "HalvingStrategy",
    "OptunaStrategy",
    "RandomStrategy",
    "SobolStrategy",
    "default_evaluations",
    "full_grid_size",
    "grid_size",
    "make_strategy",
]

Builder = Callable[[], Strategy]
GENERIC = ("grid", "coordinate", "gp", "tpe", "cmaes", "evolution", "nsga2", "random", "sobol")
"""Strategies that need nothing but a box."""


def make_strategy(
    config: SearchConfig,
    box: Box,
    *,
    surface: Builder | None = None,
    gradient: Builder | None = None,
) -> Strategy:
    """The strategy that the configuration names, with successive halving around it if it says so.

    Args:
        config: of the search.
        box: the bounds.
        surface: makes the surface strategy, which needs an objective too.
        gradient: makes the gradient strategy, which needs a model and images too.

    Raises:
        ConfigError: a strategy whose maker is not given, or arguments that do not suit it.

    """
    makers = {
        name: maker
        for name, maker in (("surface", surface), ("gradient", gradient))
        if maker is not None
    }
    if config.strategy in makers:
        strategy = makers[config.strategy]()
    elif config.strategy in GENERIC:
        strategy = _generic(config, box)
    else:
        raise ConfigError(
            f"search.strategy {config.strategy} needs more than bounds, and there are only those",
            choices=[*makers, *GENERIC],
        )
    if config.promotions:
        return HalvingStrategy(strategy, config.promotions, config.images)
    return strategy


def default_evaluations(strategy: str, dimensions: int) -> int:
    """How many evaluations one of :data:`GENERIC` but grid takes when the configuration says none.

    So many that it reaches the precision that its class states.
    """
    if strategy == "gp":
        return 5 * dimensions + 5
    if strategy == "sobol":
        return 2 ** math.ceil(math.log2(16 * dimensions))
    return {"coordinate": 12, "random": 16, "tpe": 20}.get(strategy, 40) * dimensions


def _generic(config: SearchConfig, box: Box) -> Strategy:
    evaluations = config.evaluations or default_evaluations(config.strategy, box.dimensions)
    batch, seed = config.batch, config.seed
    match config.strategy:
        case "grid":
            return _grid(config, box)
        case "random":
            return RandomStrategy(box, evaluations, batch=batch, seed=seed)
        case "sobol":
            return SobolStrategy(box, evaluations, batch=batch, seed=seed)
        case "coordinate":
            return CoordinateStrategy(box, evaluations)
        case "cmaes":
            return CmaEsStrategy(box, evaluations, seed=seed)
        case "gp" | "tpe" | "nsga2" as sampler:
            objectives = len(config.pareto) or 1
            return OptunaStrategy(
                box, sampler, evaluations, batch=batch, seed=seed, objectives=objectives
            )
        case _:
            return EvolutionStrategy(box, evaluations, batch=batch, seed=seed)


def _grid(config: SearchConfig, box: Box) -> GridStrategy:
    if config.evaluations is not None:
        raise ConfigError(
            "A grid's evaluations follow from its levels and refinements",
            fix="leave search.evaluations out, or use another search.strategy",
        )
    return GridStrategy(box, config.levels, config.refinements, config.finer_step)
