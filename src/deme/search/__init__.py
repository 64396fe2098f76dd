"""Search: merging weights, found by a strategy that sees candidates and not models.

==========================  ====================================================================
:class:`Strategy`           asks for candidates and is told results
:class:`GridStrategy`       coarse steps, then finer ones around the best (the paper's)
:class:`Box`                bounds of the weights, any sign
:class:`MergeEvaluator`     from weights to features of images drawn from common noise
:class:`Objective`          from features to a number to minimise
:func:`search_weights`      the loop, with a journal that survives being killed
==========================  ====================================================================
"""

from .config import SearchConfig
from .evaluator import MergeEvaluator
from .grid import GridStrategy
from .journal import Journal
from .loop import SearchResult, search_weights
from .objective import FrechetObjective, Objective
from .space import Box, Candidate
from .strategies import make_strategy
from .strategy import Strategy

__all__ = [
    "Box",
    "Candidate",
    "FrechetObjective",
    "GridStrategy",
    "Journal",
    "MergeEvaluator",
    "Objective",
    "SearchConfig",
    "SearchResult",
    "Strategy",
    "make_strategy",
    "search_weights",
]
