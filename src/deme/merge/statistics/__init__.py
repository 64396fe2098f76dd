"""Statistics of experts at the timesteps that they own, for ``fisher`` and ``regmean``.

============================  ==================================================================
:func:`collect_statistics`    measures one expert on images
:class:`ExpertStatistics`     a tensor for each weight that was measured, and how it was measured
:func:`write_statistics`      to a safetensors file; :func:`read_statistics` from one
============================  ==================================================================
"""

from .collecting import collect_statistics
from .expert_statistics import ExpertStatistics, StatisticsDescription
from .files import read_statistics, write_statistics

__all__ = [
    "ExpertStatistics",
    "StatisticsDescription",
    "collect_statistics",
    "read_statistics",
    "write_statistics",
]
