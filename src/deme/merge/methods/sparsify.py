"""Which elements of an expert's difference a merge keeps: by size, by chance, or by both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

BLOCK = 1 << 16
"""Elements worked on at once: what is made on the way stays in the processor's cache."""


@dataclass(frozen=True)
class Trimmed:
    """An expert's difference of which only some elements are kept: ``scale · keep ⊙ τ``."""

    delta: Tensor
    """``τ``, flat."""
    weight: float
    """``w``, not 0."""
    keep: Tensor | None = None
    """A mask, or a factor for each element; flat. None keeps all."""
    scale: float = 1.0
    """A factor for all elements."""

    def block(self, place: slice, factor: float) -> Tensor:
        """``factor · scale · keep ⊙ τ`` at ``place``, newly made."""
        if self.keep is None:
            return self.delta[place] * (factor * self.scale)
        return (self.delta[place] * self.keep[place]).mul_(factor * self.scale)


def blocks(numel: int) -> Iterator[slice]:
    """Slices of at most ``BLOCK`` elements that cover ``numel``."""
    for start in range(0, numel, BLOCK):
        yield slice(start, min(start + BLOCK, numel))


def kept_count(numel: int, density: float) -> int:
    """How many of ``numel`` elements a density keeps: ``⌊density · numel⌋``, at least one."""
    return min(numel, max(1, int(density * numel)))


def magnitude_mask(delta: Tensor, density: float) -> Tensor | None:
    """The largest share ``density`` of a flat ``τ`` by size; None where it keeps all.

    TIES-Merging, arXiv:2306.01708, "trim".
    """
    return size_band(delta, delta.numel() - kept_count(delta.numel(), density), delta.numel())


def breadcrumbs_mask(delta: Tensor, density: float, gamma: float) -> Tensor | None:
    """As many as ``density`` says of a flat ``τ``, next below its largest share ``gamma``.

    Model Breadcrumbs, arXiv:2312.06795. A density of 1 keeps all, outliers too. Where
    ``density + gamma > 1``, fewer outliers go, so that the density holds.
    """
    numel = delta.numel()
    kept = kept_count(numel, density)
    start = max(0, numel - kept - int(gamma * numel)) if density < 1 else 0
    return size_band(delta, start, start + kept)


def random_mask(numel: int, density: float, generator: Generator) -> Tensor | None:
    """Each of ``numel`` elements with the chance ``density``; None where it keeps all.

    DARE, arXiv:2311.03099, whose drop rate is ``1 − density``.
    """
    if density >= 1:
        return None
    mask = torch.empty(numel, dtype=torch.bool)
    for place in blocks(numel):
        mask[place] = torch.rand(place.stop - place.start, generator=generator) < density
    return mask


def ranked_factors(
    rows: Tensor, density: float, epsilon: float, generator: Generator, *, rescale: bool
) -> Tensor | None:
    """Factors 0 or 1 by which large elements survive more often; None where all are kept.

    DELLA's MagPrune, arXiv:2406.11617: in each row the chance to be kept rises linearly with the
    rank by size, from ``density − epsilon`` to ``density + epsilon``.

    Args:
        rows: ``τ``, ``(rows, columns)``.
        density: the mean chance.
        epsilon: half of the chances' range.
        generator: on the CPU.
        rescale: whether an element that is kept with chance ``p`` gets the factor ``1/p``, so that
            its mean stays.

    """
    if density >= 1:
        return None
    count, columns = rows.shape
    factors = torch.empty(count, columns)
    chances = torch.linspace(density - epsilon, density + epsilon, columns)
    if columns == 1:
        chances.fill_(density)
    kept_as = chances.reciprocal() if rescale else torch.ones(columns)
    height = max(1, BLOCK // max(1, columns))
    for start in range(0, count, height):
        sizes = rows[start : start + height].abs().cpu()
        order = sizes.argsort(dim=1, stable=True)
        drawn = torch.rand(sizes.shape, generator=generator)
        factors[start : start + height].scatter_(1, order, (drawn < chances) * kept_as)
    return factors.to(rows.device)


def size_band(delta: Tensor, start: int, stop: int) -> Tensor | None:
    """The elements at places ``start`` to ``stop`` of a flat ``τ`` sorted by size, ascending.

    A mask of exactly ``stop − start`` elements, but that zeros may be kept beside them; None where
    it keeps all. Among equals at an end of the band the later ones are kept.
    """
    numel = delta.numel()
    if start <= 0 and stop >= numel:
        return None
    low, high = _border_sizes(delta, start, stop)
    mask = torch.empty(numel, dtype=torch.bool, device=delta.device)
    below = above = 0
    for place in blocks(numel):
        size = delta[place].abs()
        mask[place] = ~((size < low) | (size > high))  # keeps what is not a number, to be found
        below += int((size < low).sum())
        above += int((size > high).sum())
    for size, surplus in ((low, start - below), (high, numel - stop - above)):
        if size > 0:
            _drop_first(mask, delta, size, surplus)
    return mask


def _border_sizes(delta: Tensor, start: int, stop: int) -> tuple[float, float]:
    """The sizes at places ``start`` and ``stop − 1``; 0 and ∞ where the band has no such end."""
    # numpy selects in place, several times faster than torch.kthvalue and in a third of the memory
    sizes = delta.abs().cpu().numpy()
    low, high = 0.0, math.inf
    if start > 0:
        sizes.partition(start)
        low = float(sizes[start])
    if stop < len(sizes):
        sizes.partition(stop - 1)
        high = float(sizes[stop - 1])
    return low, high


def _drop_first(mask: Tensor, delta: Tensor, size: float, surplus: int) -> None:
    """Takes the first ``surplus`` elements of this size out of the mask."""
    for place in blocks(delta.numel()):
        if surplus <= 0:
            return
        found = (mask[place] & (delta[place].abs() == size)).nonzero().flatten()[:surplus]
        mask[place][found] = False
        surplus -= len(found)
