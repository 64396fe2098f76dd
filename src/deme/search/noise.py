"""How far two candidates' difference can be trusted: they share their noise, image by image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError, DataError
from ..metrics.bootstrap import percentile_interval, recentred
from ..randomness import generator
from .evaluation import Tables
from .objectives.contract import Objective
from .objectives.loss import LOSS_TABLE
from .objectives.rows import table_named

COVERAGE = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """The first candidate's value minus the second's, and how sure it is; below 0: first is better.

    Attributes:
        difference: the estimate, from all rows.
        low: lower end of its 95 % interval.
        high: upper end.
        standard_error: the spread of the estimate over other draws of as many images.
        probability_better: share of the resamples in which the first is better, in ``[0, 1]``.

    """

    difference: float
    low: float
    high: float
    standard_error: float
    probability_better: float


def paired_bootstrap(
    objective: Objective, first: Tables, second: Tables, *, resamples: int = 200, seed: int = 0
) -> PairedDifference:
    """Draws rows again with replacement, the same ones for both candidates (Efron 1979).

    All tables of generated images are drawn alike, row n being image n; validation images are drawn
    on their own. A resample has fewer different rows than the set, which moves a distance up; so
    the spread is taken about the resamples' own mean and put around the estimate.

    Args:
        objective: what is compared.
        first: a candidate's tables.
        second: another's, of the same images.
        resamples: how often; each costs two values.
        seed: of the drawing.

    Raises:
        ConfigError: fewer than two resamples.
        DataError: the tables differ in rows, or a value is not finite.

    """
    if resamples < 2:
        raise ConfigError(f"{resamples} resamples have no spread", fix="give at least 2")
    rows = _paired_rows(objective, first, second)
    with torch.no_grad():
        difference = _difference(objective, first, second, _equal_weights(rows))
        drawn = [
            _difference(objective, first, second, _drawn_weights(rows, seed, index))
            for index in range(resamples)
        ]
    around = recentred(difference, torch.stack(drawn))
    low, high = percentile_interval(around, COVERAGE)
    return PairedDifference(
        difference=float(difference),
        low=low,
        high=high,
        standard_error=float(around.std()),
        probability_better=float((around < 0).double().mean()),
    )


def paired_error(objective: Objective, first: Tables, second: Tables) -> float:
    """The standard error of the difference of two candidates' values, by one gradient each.

    The infinitesimal jackknife (Jaeckel 1972; Efron 1982, chapter 6): with ``g_i`` the derivative
    of the difference by the weight of row i, ``Σ (g_i − ḡ)² / (n(n − 1))``, summed over images and
    validation images. It is the bootstrap's to first order, and the plain standard error where the
    value is a mean. Where images are fewer than features it is too small: use the bootstrap.

    Raises:
        DataError: the tables differ in rows, or a value is not finite.

    """
    weights = _equal_weights(_paired_rows(objective, first, second))
    leaves = {kind: weight.requires_grad_() for kind, weight in weights.items()}
    difference = _difference(objective, first, second, leaves)
    variance = 0.0
    for gradient in torch.autograd.grad(difference, [*leaves.values()]):
        count = len(gradient)
        centred = gradient - gradient.mean()
        variance += float(centred.square().sum()) / (count * (count - 1))
    return math.sqrt(variance)


def better_beyond_noise(
    objective: Objective, candidate: Tables, best: Tables, *, deviations: float = 2.0
) -> bool:
    """Whether a candidate's value is lower than the best's by more than noise explains.

    A search may stop once no new candidate is. Of many candidates the lowest is low partly by
    chance, so this is no test of significance: fresh noise is.

    Args:
        objective: what is compared.
        candidate: its tables; where its value is not finite it is not better.
        best: the tables of the best so far, of the same images.
        deviations: how many standard errors (:func:`paired_error`) count as noise, at least 0.

    Raises:
        DataError: the tables differ in rows.

    """
    _paired_rows(objective, candidate, best)
    with torch.no_grad():
        own, other = float(objective.value(candidate)), float(objective.value(best))
    if not (math.isfinite(own) and math.isfinite(other)):
        return own < other
    if own >= other:
        return False
    return other - own > deviations * paired_error(objective, candidate, best)


def _kind(table: str) -> str:
    """What the rows of a table are: validation images, or the generated ones that others share."""
    return table if table == LOSS_TABLE else "images"


def _paired_rows(objective: Objective, first: Tables, second: Tables) -> dict[str, int]:
    """How many rows there are of each kind, in both candidates alike."""
    rows: dict[str, int] = {}
    for name in objective.reads:
        counts = {len(table_named(tables, name, at_least=2)) for tables in (first, second)}
        counts.add(rows.get(_kind(name), min(counts)))
        if len(counts) > 1:
            raise DataError(
                f"The rows of {name!r} are not paired: there are {sorted(counts)} of them",
                fix="compare candidates that were measured on the same images",
            )
        rows[_kind(name)] = counts.pop()
    return rows


def _equal_weights(rows: dict[str, int]) -> dict[str, Tensor]:
    return {
        kind: torch.full((count,), 1 / count, dtype=torch.float64) for kind, count in rows.items()
    }


def _drawn_weights(rows: dict[str, int], seed: int, index: int) -> dict[str, Tensor]:
    """How often each row is drawn, over their number."""
    weights = {}
    for kind, count in rows.items():
        draws = generator(seed, "paired bootstrap", kind, index)
        drawn = torch.randint(count, (count,), generator=draws)
        weights[kind] = torch.bincount(drawn, minlength=count).double() / count
    return weights


def _difference(
    objective: Objective, first: Tables, second: Tables, weights: dict[str, Tensor]
) -> Tensor:
    row_weights = {name: weights[_kind(name)] for name in objective.reads}
    difference = objective.value(first, row_weights) - objective.value(second, row_weights)
    if not difference.isfinite():
        raise DataError(
            f"A candidate's {objective.name} is not finite, and so has no noise",
            fix="compare candidates whose values are finite",
        )
    return difference
