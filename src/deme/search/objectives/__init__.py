"""Objectives: what a search minimises, and what it predicts where nothing was sampled.

==========================  ====================================================================
:class:`Objective`          from tables to a number, lower is better, with row weights
:class:`Mixture`            that number for signed mixtures of sets
:class:`FrechetObjective`   ``frechet``: the Fréchet distance on any detector
:class:`KernelObjective`    ``kid`` and ``cmmd``: squared maximum mean discrepancies
:class:`AlignmentObjective` ``clip_score``: images against the captions they were drawn for
:class:`RewardObjective`    ``reward``: a function of the user's; :func:`load_reward`
:class:`LossObjective`      ``loss``: the denoising loss per range
:class:`WeightedSum`        several with their coefficients
:func:`make_objectives`     from the configuration to one, or to several
==========================  ====================================================================
"""

from .alignment import AlignmentObjective
from .contract import Mixture, Objective, RowWeights
from .frechet import FrechetObjective
from .kernel import KernelObjective
from .linear import LinearObjective
from .loss import LOSS_TABLE, LossObjective
from .making import make_objectives
from .reward import REWARD_TABLE, RewardColumn, RewardObjective, load_reward, reward_digest
from .weighted_sum import WeightedSum

__all__ = [
    "LOSS_TABLE",
    "REWARD_TABLE",
    "AlignmentObjective",
    "FrechetObjective",
    "KernelObjective",
    "LinearObjective",
    "LossObjective",
    "Mixture",
    "Objective",
    "RewardColumn",
    "RewardObjective",
    "RowWeights",
    "WeightedSum",
    "load_reward",
    "make_objectives",
    "reward_digest",
]
