"""Merge: weight differences of experts, added back onto the pretrained weights.

=========================  =====================================================================
:class:`StateDict`         a model's weights, by name
:class:`TaskVector`        ``τ = θ_expert − θ``: a difference, which is another type than weights
:func:`task_arithmetic`    ``θ + Σ w_i τ_i`` (Eq. 8)
:func:`merge_method`       registers a method: a pure function of tensors
:func:`merge_weights`      applies a method, a tensor at a time, in float32
:class:`MergeRecipe`       what was merged from what; stored beside the result
=========================  =====================================================================
"""

from .apply import InPlaceMerger, merge_weights
from .methods import MERGE_METHODS, get_merge_method, merge_method, task_arithmetic
from .reading import read_weights
from .recipe import MergeRecipe, MergeSource
from .state_dict import StateDict
from .task_vector import TaskVector, cosine_matrix
from .writing import write_merge

__all__ = [
    "MERGE_METHODS",
    "InPlaceMerger",
    "MergeRecipe",
    "MergeSource",
    "StateDict",
    "TaskVector",
    "cosine_matrix",
    "get_merge_method",
    "merge_method",
    "merge_weights",
    "read_weights",
    "task_arithmetic",
    "write_merge",
]
