"""The moment surface: every moment of the features as a function of the merging weights.

===========================  ===================================================================
:class:`MomentSurface`       predicts the objective at weights that were never sampled
:class:`Smoother`            coefficients of the sampled sets at any weights, and their variance
:func:`lowest_predicted`     where the prediction is lowest inside a region
===========================  ===================================================================

Candidates are sampled from the same noise, so over many images the moments of their features are
smooth functions of the weights, far smoother than the distance that is made of them. Each moment
is fitted by kriging with one Gaussian kernel; because the fit is linear in the data, the moments
predicted at ``w`` are those of a signed mixture of the sampled sets, ``Σ_j c_j(w) m_j`` with
``Σ_j c_j = 1``, whatever the moments are. The kernel is wide where the moments are smooth, and a
wide Gaussian kernel interpolates as a polynomial does, of the highest degree that the points
determine (Driscoll & Fornberg 2002): a plane through N + 1 points, a quadratic through
(N + 1)(N + 2)/2, and all degrees between without a choice to be made.
"""

from .minimising import Region, lowest_predicted
from .smoother import Smoother
from .surface import MomentSurface

__all__ = ["MomentSurface", "Region", "Smoother", "lowest_predicted"]
