"""CMMD: the squared MMD of CLIP embeddings under a Gaussian kernel."""

from __future__ import annotations

from torch import Tensor

from .discrepancy import SampledSides, estimated_error
from .kernels import GAUSSIAN
from .statistics import require_features, require_same_dimensions

PUBLISHED_DETECTORS = ("clip-l14", "clip-vit-large-patch14-336")
"""What the network whose embeddings the published CMMD is of may be called here."""


def cmmd(real: Tensor, generated: Tensor, *, unbiased: bool = True) -> float:
    """CMMD (Jayasumana et al., arXiv:2401.09603): ``1000·MMD²``, Gaussian kernel of σ = 10.

    Of embeddings scaled to length one, in float64. The published code counts pairs of an image with
    itself, which adds about ``1000·(1 − k̄)/n`` for each set: 2e-4 or so at its 30 000 images.

    Args:
        real: embeddings ``(N, E)``; the published ones are of CLIP ViT-L/14 at 336 pixels.
        generated: embeddings ``(M, E)``.
        unbiased: leave those pairs out, so that the value may be below 0; False: as published.

    Raises:
        DataError: fewer than two rows in a set, or values that are not finite.
        ProtocolError: the dimensions differ.

    """
    return GAUSSIAN.discrepancy(*_prepared(real, generated), unbiased=unbiased)


def cmmd_error(
    real: Tensor, generated: Tensor, *, seed: int = 0, sampled: SampledSides = "generated"
) -> float:
    """The standard error of the unbiased :func:`cmmd`; see :func:`.discrepancy.estimated_error`.

    Raises:
        DataError, ProtocolError: as for :func:`cmmd`.

    """
    first, second = _prepared(real, generated)
    return estimated_error(GAUSSIAN, second, first, seed=seed, sampled=sampled)


def _prepared(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    for features in (real, generated):
        require_features(features, at_least=2)
    require_same_dimensions(real.shape[1], generated.shape[1])
    return GAUSSIAN.prepared(real), GAUSSIAN.prepared(generated)
