"""Uniform quantization: multiples of one step for a whole tensor, the step made for an error.

One step for all elements, where many formats have one for each row: with an entropy coder behind
it, the least bits for a total squared error are spent when every element has the same error
(reverse water-filling; Cover & Thomas, Elements of Information Theory, section 10.3). A row of
small values then costs few bits, and not few steps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .planes import Codes
from .zigzag import from_zigzag, to_zigzag

Values = npt.NDArray[np.float32]

BLOCK = 2**18
"""Elements that are looked at together: they stay in a core's cache."""
WIDEST = 2**30
"""Multiples of the step up to which integers of 32 bits surely hold them."""
TRIES = 12
CLOSE = 0.99
"""Share of the allowed squared error from which on a step is good enough."""


def quantize(values: Values, step: float) -> Codes:
    """The nearest multiples of ``step``, one axis, in the narrowest unsigned type that holds them.

    Args:
        values: float32, any shape; ``|value| / step`` at most 2³⁰.
        step: above 0, a number of float32.

    """
    flat = values.reshape(-1)
    codes = np.empty(flat.size, np.uint32)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        codes[start : start + BLOCK] = to_zigzag(np.rint(block / np.float32(step)).astype(np.int32))
    highest = int(codes.max(initial=0))
    return codes.astype(np.min_scalar_type(highest))


def dequantize(codes: Codes, step: float) -> Values:
    """The values that the codes stand for: float32, one axis."""
    values = np.empty(codes.size, np.float32)
    for start in range(0, codes.size, BLOCK):
        block = from_zigzag(codes[start : start + BLOCK].astype(np.uint32))
        np.multiply(block, np.float32(step), out=values[start : start + BLOCK], casting="unsafe")
    return values


def squared_error(values: Values, step: float) -> float:
    """``Σ (x̂ − x)²`` of quantizing with this step, summed in float64."""
    flat, scale, total = values.reshape(-1), np.float32(step), 0.0
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        error = np.rint(block / scale)
        error *= scale
        error -= block
        total += sum_of_squares(error)
    return total


def sum_of_squares(values: Values) -> float:
    """``Σ x²``, summed in float64."""
    flat, total = values.reshape(-1), 0.0
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK].astype(np.float64)
        total += float(np.dot(block, block))
    return total


def largest_step(values: Values, allowed: float) -> float | None:
    """A step, as large as found, whose squared error is at most ``allowed``.

    Small steps have an error of ``n·step²/12``; the search starts there and goes on by what it
    meets.

    Args:
        values: float32, finite, any shape, not all 0.
        allowed: the squared error, above 0.

    Returns:
        A number of float32, or None where none was found: values so small, or of such different
        sizes, that float32 and integers of 32 bits cannot do it.

    """
    largest = float(np.abs(values).max())
    passing, failing = 0.0, math.inf
    step = math.sqrt(12 * allowed / values.size)
    for _ in range(TRIES):
        step = float(np.float32(step))
        if step < np.finfo(np.float32).tiny or largest / step > WIDEST:
            return None
        error = squared_error(values, step)
        if error <= allowed:
            passing = max(passing, step)
            if error >= CLOSE * allowed:
                break
        else:
            failing = min(failing, step)
        guess = step * math.sqrt(allowed * (1 + CLOSE) / 2 / error) if error > 0 else 4 * step
        step = guess if passing < guess < failing else _between(passing, failing, step)
    return passing or None


def _between(passing: float, failing: float, step: float) -> float:
    if passing == 0:
        return step / 2
    return 2 * passing if math.isinf(failing) else math.sqrt(passing * failing)
