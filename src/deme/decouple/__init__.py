"""Decouple: one expert per timestep range, each protected from forgetting.

==========================  ====================================================================
:class:`Partition`          half-open timestep ranges that cover ``[0, T)``
:class:`TimestepSampler`    own range with probability 1 − p, everything with p (Eq. 6)
:func:`expert_loss`         denoising plus consistency to the frozen pretrained model (Eq. 5)
:class:`ChannelProjection`  ``P(F) = W·F`` on the channel axis, from the identity
:func:`attach_projections`  puts projections into a network; :func:`fold_projections` absorbs them
:func:`train_expert`        the one training loop
:class:`MultiTaskConfig`    baselines in it that take clusters of timesteps for tasks (ANT)
:class:`ExpertSnapshots`    an expert at other training and averaging lengths, made afterwards
:func:`validation_losses`   the loss on every range, with fixed noise
:func:`likelihood_bound`    the bound on the negative log-likelihood, told apart by range
==========================  ====================================================================
"""

from .config import DecoupleConfig
from .expert import ExpertSpec, experts_of
from .job import TrainingJob, TrainingResult
from .likelihood import LikelihoodBound, likelihood_bound, why_no_bound
from .loss import expert_loss
from .multitask_config import MultiTaskConfig
from .opening import open_pipeline
from .partition import Partition, TimestepRange
from .power_average import PowerProfile
from .projection import (
    ChannelProjection,
    attach_projections,
    fold_projections,
    restore_projections,
)
from .snapshots import ExpertSnapshots
from .timesteps import TimestepSampler
from .training import train_expert
from .validation import validation_losses, validation_table

__all__ = [
    "ChannelProjection",
    "DecoupleConfig",
    "ExpertSnapshots",
    "ExpertSpec",
    "LikelihoodBound",
    "MultiTaskConfig",
    "Partition",
    "PowerProfile",
    "TimestepRange",
    "TimestepSampler",
    "TrainingJob",
    "TrainingResult",
    "attach_projections",
    "expert_loss",
    "experts_of",
    "fold_projections",
    "likelihood_bound",
    "open_pipeline",
    "restore_projections",
    "train_expert",
    "validation_losses",
    "validation_table",
    "why_no_bound",
]
