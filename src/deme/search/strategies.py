"""From the configuration to a strategy."""

from __future__ import annotations

from .config import SearchConfig
from .grid import GridStrategy
from .space import Box
from .strategy import Strategy


def make_strategy(config: SearchConfig, experts: int) -> Strategy:
    """The strategy that the configuration names, over one weight per expert."""
    return GridStrategy(Box.cube(config.bounds, experts), config.levels, config.refinements)
