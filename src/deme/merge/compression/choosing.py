"""Choosing for each tensor the way that takes fewest bytes for the promised error."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .approximate import Approximation, as_matrix
from .exact import encode_exact
from .low_rank import Components, LowRank, leading_components
from .planes import PayloadReader
from .quantized import sum_of_squares

SMALL = 4096
"""Elements up to which a tensor is exact: biases and norms, which hardly count."""
SAMPLE = 2**17
"""Elements from which sizes are estimated."""
SMALLEST_SIDE = 32
"""Of a matrix of which a low-rank part can be worth its vectors."""
SHARE_OF_RANK = 4
"""Of ``min(m, n)`` this part is the highest rank that is tried: above, quantizing is cheaper."""
ADAPTER_RANK = 256
"""Ranks of usual adapters are tried too, up to half of ``min(m, n)``."""
RANKS = (24, 12, 8, 6, 4)
"""Parts of ``min(m, n)`` that are tried as ranks beside a rank that is enough by itself."""
RETRIES = 3


def approximate(
    expert: Tensor, base: Tensor, tau: Tensor, max_error: float
) -> tuple[bytes, float] | None:
    """The payload of :class:`Approximation` and its relative error ``‖τ̂ − τ‖ / ‖τ‖``.

    The error is that of the payload as it is decoded.

    Args:
        expert: the expert's tensor as stored.
        base: the base's.
        tau: their difference, float32, not all 0.
        max_error: what the relative error may be at most, in (0, 1).

    Returns:
        None where exact coding is cheaper or the only way: small tensors, NaN, Inf, whole numbers.

    """
    if tau.numel() <= SMALL or not expert.dtype.is_floating_point:
        return None
    energy = sum_of_squares(tau.numpy())
    if not 0 < energy < math.inf:
        return None
    shape = as_matrix(tuple(tau.shape))
    matrix = tau.view(shape)
    allowed = max_error**2 * energy
    low_rank = _best_low_rank(matrix, energy, allowed)
    for _ in range(RETRIES):
        found = Approximation.within(matrix, allowed, low_rank)
        if found is None:
            return None
        payload = found.pack()
        decoded = Approximation.unpack(PayloadReader(payload, ""), shape).dense(shape)
        error = math.sqrt(sum_of_squares(decoded.sub_(matrix).numpy()) / energy)
        if error <= max_error:
            exact_bytes = _estimate_exact(expert, base) * tau.numel()
            return (payload, error) if len(payload) < exact_bytes else None
        allowed *= 0.99 * (max_error / error) ** 2  # rounding in the sum of the two parts
    return None


def _best_low_rank(matrix: Tensor, energy: float, allowed: float) -> LowRank | None:
    """The low-rank part whose whole takes fewest bytes, by a sample of rows; None for none."""
    if min(matrix.shape) < SMALLEST_SIDE:
        return None
    sample = slice(None, None, max(1, math.ceil(matrix.numel() / SAMPLE)))
    side = min(matrix.shape)
    highest = max(side // SHARE_OF_RANK, min(ADAPTER_RANK, side // 2))
    components = leading_components(matrix, highest)
    best, fewest = None, _estimate(matrix, sample, allowed, None)
    for rank, noise in _candidates(matrix, components, energy, allowed):
        part = LowRank.of(components, rank, noise)
        if part is None:
            continue
        size = _estimate(matrix, sample, allowed, part)
        if size < fewest:
            best, fewest = part, size
    return best


def _candidates(
    matrix: Tensor, components: Components, energy: float, allowed: float
) -> Iterator[tuple[int, float]]:
    """Ranks, each with the mean squared error that elements of the factors may have.

    With quantized remains behind them the factors are as inexact as the remains are large: then a
    bit more in either saves as much.
    """
    left_over = (energy - components.singular.double().square().cumsum(0)).clamp(min=0)
    alone = _rank_alone(matrix, components.singular.double(), left_over, allowed)
    if alone is not None:
        yield alone
    for part in RANKS:
        rank = min(matrix.shape) // part
        if 0 < rank <= len(left_over) and float(left_over[rank - 1]) > allowed:
            yield rank, float(left_over[rank - 1]) / matrix.numel()


def _rank_alone(
    matrix: Tensor, singular: Tensor, left_over: Tensor, allowed: float
) -> tuple[int, float] | None:
    """The cheapest rank that needs no remains, and the error that is left for its factors.

    A component costs ``½·log2(1 + σ²/(m·noise))`` bits for each of its m elements on one side, and
    likewise on the other.
    """
    enough = (left_over < allowed).nonzero().flatten()
    if len(enough) == 0:
        return None
    ranks = enough + 1
    noise = (allowed - left_over[enough]) / (ranks * sum(matrix.shape))
    power = singular.square() / noise[:, None]
    bits = sum(side * torch.log2(1 + power / side) for side in matrix.shape)
    used = torch.arange(len(singular)) < ranks[:, None]
    best = int((bits * used).sum(1).argmin())
    return int(ranks[best]), 0.98 * float(noise[best])


def _estimate(matrix: Tensor, sample: slice, allowed: float, part: LowRank | None) -> float:
    """Bytes that the matrix would take with this part, about."""
    rows = matrix[sample]
    remains = rows if part is None else rows - part.dense(sample)
    share = rows.shape[0] / matrix.shape[0]
    fixed = 0 if part is None else len(part.pack())
    if sum_of_squares(remains.numpy()) <= allowed * share:
        return fixed
    found = Approximation.within(remains.contiguous(), allowed * share, None)
    return math.inf if found is None else fixed + len(found.pack()) / share


def _estimate_exact(expert: Tensor, base: Tensor) -> float:
    """Bytes an element that exact coding takes, by a sample from the middle."""
    start = max(0, (expert.numel() - SAMPLE) // 2)
    pieces = (tensor.flatten()[start : start + SAMPLE] for tensor in (expert, base))
    ours = encode_exact(*pieces)
    return len(ours) / min(SAMPLE, expert.numel())
