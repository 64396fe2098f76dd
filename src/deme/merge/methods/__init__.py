"""Merge methods: pure functions of tensors, one a file.

=========================  ==================================  ===============================
:func:`task_arithmetic`    ``θ + Σ w_i τ_i``                    arXiv:2212.04089; DeMe's Eq. 8
=========================  ==================================  ===============================
"""

from .registry import MERGE_METHODS, get_merge_method, merge_method
from .task_arithmetic import task_arithmetic

__all__ = ["MERGE_METHODS", "get_merge_method", "merge_method", "task_arithmetic"]
