"""Inception score: how sure the classifier is of each image, and how many classes it sees."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ConfigError, DataError
from .statistics import require_features

SPLITS = 10
"""As published."""
TOLERANCE = 1e-3


class InceptionScore(NamedTuple):
    """A score from 1 to the number of classes K; higher is better.

    Attributes:
        mean: over the splits, the published number.
        deviation: over the splits (divided by their number, as published).
        unsplit: of all images at once.
        standard_error: of ``mean`` over other images (infinitesimal jackknife).
        unsplit_error: of ``unsplit``.

    """

    mean: float
    deviation: float
    unsplit: float
    standard_error: float
    unsplit_error: float


def inception_score(probabilities: Tensor, splits: int = SPLITS) -> InceptionScore:
    """``exp(E KL(p(y|x) ‖ p(y)))`` (Salimans et al., arXiv:1606.03498, section 4).

    ``p(y)`` is the mean over the images of a split, so the score is biased downwards, by a factor
    of up to about ``1 − (K − 1)/2n`` at n images a split (Miller 1955; Chong & Forsyth,
    arXiv:1911.07023): compare it at equal counts and splits alone. Splits are consecutive parts, as
    in the published code; images of different classes must not be in order.

    Args:
        probabilities: ``(N, K)``, each row a distribution; the published ones are of Inception v3.
        splits: how many.

    Raises:
        ConfigError: no split.
        DataError: rows that are no distributions, or fewer images than splits.

    """
    if splits < 1:
        raise ConfigError(f"The Inception score has {splits} splits", fix="give at least 1")
    require_features(probabilities, at_least=splits)
    sums = probabilities.sum(dim=1, dtype=torch.float64)
    if float(probabilities.min()) < 0 or float((sums - 1).abs().max()) > TOLERANCE:
        raise DataError(
            "The Inception score needs class probabilities: rows at least 0 that sum to 1",
            fix="give the classifier's softmax and not its scores",
        )
    count = len(probabilities)
    edges = [index * count // splits for index in range(splits + 1)]
    parts = [_score(probabilities[low:high]) for low, high in itertools.pairwise(edges)]
    scores = torch.tensor([score for score, _ in parts], dtype=torch.float64)
    unsplit, unsplit_error = parts[0] if splits == 1 else _score(probabilities)
    return InceptionScore(
        mean=float(scores.mean()),
        deviation=float(scores.std(correction=0)),
        unsplit=unsplit,
        standard_error=math.sqrt(sum(error**2 for _, error in parts)) / splits,
        unsplit_error=unsplit_error,
    )


def _score(probabilities: Tensor) -> tuple[float, float]:
    """``exp(mean)`` and its standard error.

    The derivative by a row's weight is the score times the row's divergence: that of ``p(y)``
    vanishes, for the mean minimises the mean divergence.
    """
    divergences = divergences_from_mean(probabilities)
    score = math.exp(float(divergences.mean()))
    count = len(divergences)
    variance = float(divergences.var()) / count if count > 1 else math.nan
    return score, score * math.sqrt(variance)


def divergences_from_mean(probabilities: Tensor) -> Tensor:
    """``KL(p(y|x) ‖ p(y))`` of each image, ``(N,)`` in nats, ``p(y)`` the mean of the rows."""
    rows = probabilities.double()
    return (torch.xlogy(rows, rows) - torch.xlogy(rows, rows.mean(dim=0))).sum(dim=1)
