"""Merge methods: pure functions of tensors, one a file, named as mergekit and PEFT name them.

===========================  =================================================================
Sums of differences
:func:`task_arithmetic`      ``θ + Σ w_i τ_i``; DeMe's Eq. 8
:func:`linear`               weighted mean of the experts
Fewer elements, then a sum
:func:`ties`                 the largest elements, those of the elected sign averaged
:func:`dare_linear`          random elements, rescaled, summed
:func:`dare_ties`            random elements, rescaled, those of the elected sign averaged
:func:`della_linear`         as DARE, larger elements more likely
:func:`della`                the same, those of the elected sign averaged
:func:`breadcrumbs`          neither the largest nor the smallest elements, summed
:func:`breadcrumbs_ties`     the same, those of the elected sign averaged
:func:`sce`                  the elements in which experts differ most, weighted by their size
Means on a sphere
:func:`slerp`                between base and one expert, along the arc
:func:`nuslerp`              between two experts
:func:`multislerp`           among several: mean direction, mean length
:func:`karcher`              the mean of several by angle
Means by geometry
:func:`model_stock`          towards the base, as far as the experts disagree
:func:`geometric_median`     the point with the smallest sum of distances
:func:`isotropic`            the sum with its singular values made equal (Iso-C)
:func:`isotropic_cts`        the same with directions of each expert's own (Iso-CTS)
:func:`tsv`                  the experts' own singular vectors, made orthogonal
Means by what matters to each expert
:func:`fisher`               each element by its Fisher information
:func:`regmean`              each layer by the inputs that it sees
===========================  =================================================================
"""

from .breadcrumbs import breadcrumbs
from .breadcrumbs_ties import breadcrumbs_ties
from .dare_linear import dare_linear
from .dare_ties import dare_ties
from .della import della
from .della_linear import della_linear
from .fisher import fisher
from .geometric_median import geometric_median
from .isotropic import isotropic
from .isotropic_cts import isotropic_cts
from .karcher import karcher
from .linear import linear
from .model_stock import model_stock
from .multislerp import multislerp
from .nuslerp import nuslerp
from .registry import MERGE_METHODS, RegisteredMethod, get_merge_method, merge_method
from .regmean import regmean
from .sce import sce
from .slerp import slerp
from .task_arithmetic import task_arithmetic
from .ties import ties
from .tsv import tsv

__all__ = [
    "MERGE_METHODS",
    "RegisteredMethod",
    "breadcrumbs",
    "breadcrumbs_ties",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "fisher",
    "geometric_median",
    "get_merge_method",
    "isotropic",
    "isotropic_cts",
    "karcher",
    "linear",
    "merge_method",
    "model_stock",
    "multislerp",
    "nuslerp",
    "regmean",
    "sce",
    "slerp",
    "task_arithmetic",
    "ties",
    "tsv",
]
