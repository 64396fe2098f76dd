"""Search: merging weights, found by a strategy that sees candidates and not models.

===========================  ===================================================================
:class:`MergeSpace`          what is searched: a weight per expert or per block, parameters
:class:`Strategy`            asks for candidates and is told results; :mod:`.strategies` has all
:class:`SurfaceStrategy`     the default: predicts from the moments of a few sampled sets
:class:`Objective`           from features to a number to minimise; :mod:`.objectives` has all
:class:`MergeEvaluator`      from weights to features of images drawn from common noise
:class:`Study`               an Optuna study in SQLite; :class:`SetStore` keeps the features
:func:`search_weights`       the loop, which pays for no candidate twice
:func:`paired_bootstrap`     how sure a difference between two candidates is
===========================  ===================================================================
"""

from .config import SearchConfig
from .denoising import DenoisingProblem
from .evaluation import Evaluation, Proposal, Tables
from .evaluator import MergeEvaluator
from .landscape import predicted_landscape, prediction_quality
from .loop import search_weights
from .measuring import Measurement, measure
from .merge_space import Axis, MergePoint, MergeSpace, Snapshot
from .noise import PairedDifference, better_beyond_noise, paired_bootstrap, paired_error
from .objectives import (
    LOSS_TABLE,
    REWARD_TABLE,
    FrechetObjective,
    LossObjective,
    Objective,
    RewardColumn,
    load_reward,
    make_objectives,
    reward_digest,
)
from .result import SearchResult
from .set_store import SetStore
from .space import Box, Candidate
from .strategies import make_strategy
from .strategies.gradient import GradientStrategy, minimise_in_box
from .strategies.outward import OutwardStrategy
from .strategies.scaled_anchors import ScaledAnchors
from .strategies.surface import SurfaceStrategy, surface_budget
from .strategy import Strategy
from .study import Study
from .surface import MomentSurface

__all__ = [
    "LOSS_TABLE",
    "REWARD_TABLE",
    "Axis",
    "Box",
    "Candidate",
    "DenoisingProblem",
    "Evaluation",
    "FrechetObjective",
    "GradientStrategy",
    "LossObjective",
    "Measurement",
    "MergeEvaluator",
    "MergePoint",
    "MergeSpace",
    "MomentSurface",
    "Objective",
    "OutwardStrategy",
    "PairedDifference",
    "Proposal",
    "RewardColumn",
    "ScaledAnchors",
    "SearchConfig",
    "SearchResult",
    "SetStore",
    "Snapshot",
    "Strategy",
    "Study",
    "SurfaceStrategy",
    "Tables",
    "better_beyond_noise",
    "load_reward",
    "make_objectives",
    "make_strategy",
    "measure",
    "minimise_in_box",
    "paired_bootstrap",
    "paired_error",
    "predicted_landscape",
    "prediction_quality",
    "reward_digest",
    "search_weights",
    "surface_budget",
]
