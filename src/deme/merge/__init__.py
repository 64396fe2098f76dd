"""Merge: weight differences of experts, added back onto the pretrained weights.

=========================  =====================================================================
:class:`StateDict`         a model's weights, by name
:class:`TaskVector`        ``τ = θ_expert − θ``: a difference, which is another type than weights
:mod:`.sources`            any checkpoint as named tensors that are read when they are needed
:mod:`.methods`            the merge methods, each a pure function of tensors
:func:`merge_method`       registers one of your own
:class:`MergeRecipe`       what is merged from what; stored beside the result
:mod:`.settings`           its weights and parameters, also by block, depth and kind of layer
:mod:`.places`             where a tensor sits in its network, read off its name
:func:`plan_merge`         opens all that a recipe names, and checks that it fits together
:func:`write_merge`        carries the plan out, a tensor at a time
:func:`merge`              the merged denoiser in memory, nothing written
:func:`open_merger`        a denoiser that switches among merges of the same experts in place
:func:`merge_weights`      the same on weights that are in memory already
:mod:`.statistics`         what Fisher and RegMean merging need to know of each expert
:mod:`.compression`        experts as compressed task vectors
:mod:`.unmerge_job`        one expert out of a merge again
:mod:`.inspection`         norms, cosines and sign conflicts of experts
=========================  =====================================================================

The room itself can be called: ``deme.merge(base, experts, weights)`` is :func:`merge`.
"""

import sys
from types import ModuleType
from typing import Any

from .apply import InPlaceMerger, merge_weights
from .methods import MERGE_METHODS, get_merge_method, merge_method, task_arithmetic
from .planning import MergePlan, plan_merge
from .reading import read_weights
from .recipe import MergeRecipe, MergeSource, read_recipe
from .state_dict import StateDict
from .task_vector import TaskVector, cosine_matrix
from .trying import merge, open_merger
from .writing import MergeResult, write_merge

__all__ = [
    "MERGE_METHODS",
    "InPlaceMerger",
    "MergePlan",
    "MergeRecipe",
    "MergeResult",
    "MergeSource",
    "StateDict",
    "TaskVector",
    "cosine_matrix",
    "get_merge_method",
    "merge",
    "merge_method",
    "merge_weights",
    "open_merger",
    "plan_merge",
    "read_recipe",
    "read_weights",
    "task_arithmetic",
    "write_merge",
]


class _Room(ModuleType):
    """Lets the package's users write ``deme.merge(…)``: importing the room puts it there."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return merge(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
