"""Averages of the weights over a training, in a form from which others can be made afterwards.

A power-function average at step t weighs the weights of step s by ``(γ + 1) s^γ / t^(γ+1)``: it
forgets relative to how long the training has been, so one number says its width at any step, the
standard deviation of that profile over t, ``σ_rel = (γ + 1)^½ (γ + 2)^−1 (γ + 3)^−½``. Averages of
a few widths, kept at a few steps, combine into one of another width at another step: the length of
a training and of its average can be chosen after it (Karras et al., "Analyzing and improving the
training dynamics of diffusion models", CVPR 2024, arXiv:2312.02696, section 3 and appendix C).

Where we differ from the paper: it fits the profiles themselves. Written with the updates
``Δ_s = θ_s − θ_{s−1}`` and the start ``θ_0``, an average is ``θ_0 + Σ_s P(s) Δ_s`` with
``P(s) = 1 − (s / t)^(γ+1)``, and what is needed here is its distance from the start, the task
vector. So we fit the cumulative profiles ``P`` and let the coefficients sum to one. Were the
updates independent and equally large, the error would be the fit's residual. On the bundled digits
at a constant rate it was 1.2 to 1.9 times that, and 1.1 to 4.3 times below the same fit of the
profiles themselves. Without the sum of one, which the paper does not ask for, the error was up to
25 times the task vector: it scales the pretrained weights too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError

LARGEST_WIDTH = 12**-0.5
"""``σ_rel`` of γ = 0, the plain mean over all steps."""


def exponent_of(sigma_rel: float) -> float:
    """``γ ≥ 0`` of a relative width, the largest root of ``(γ+2)²(γ+3) σ² = γ + 1``.

    Raises:
        ConfigError: the width is not in ``(0, 12^−½]``.

    """
    if not 0 < sigma_rel <= LARGEST_WIDTH:
        raise ConfigError(
            f"An average cannot have the relative width {sigma_rel:g}",
            fix=f"choose one above 0 and at most {LARGEST_WIDTH:.4f}, the mean over all steps",
        )
    inverse = sigma_rel**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return max(0.0, float(roots.real.max()))


def width_of(gamma: float) -> float:
    """``σ_rel`` of an exponent ``γ ≥ 0``."""
    return ((gamma + 1) / (gamma + 3)) ** 0.5 / (gamma + 2)


def decay(step: int, gamma: float) -> float:
    """``β(t) = (1 − 1/t)^(γ+1)``: what is left of an average when step ``t ≥ 1`` joins it."""
    return (1 - 1 / step) ** (gamma + 1)


class PowerAverages:
    """``θ̂(t) = β(t) θ̂(t−1) + (1 − β(t)) θ(t)`` for several relative widths, float32.

    Args:
        parameters: by name; averages start as copies of them, of which step 1 leaves nothing.
        sigmas: the relative widths; none at all keeps nothing.

    Raises:
        ConfigError: a width is out of range.

    """

    def __init__(self, parameters: Mapping[str, Tensor], sigmas: Sequence[float]) -> None:
        self.tensors = {
            sigma: {name: value.detach().float().clone() for name, value in parameters.items()}
            for sigma in sigmas
        }
        self._exponents = {sigma: exponent_of(sigma) for sigma in sigmas}

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], step: int) -> None:
        """Takes the parameters as they are after ``step ≥ 1``, in the order of their names."""
        if not self.tensors:
            return
        current = [parameter.detach().float() for parameter in parameters]
        for sigma, average in self.tensors.items():
            weight = 1 - decay(step, self._exponents[sigma])
            torch._foreach_lerp_(list(average.values()), current, weight)

    def state(self) -> dict[str, Tensor]:
        """Every average's tensors, by ``<width>/<parameter>``; views, not copies."""
        return {
            f"{sigma!r}/{name}": tensor
            for sigma, average in self.tensors.items()
            for name, tensor in average.items()
        }


@dataclass(frozen=True, order=True)
class PowerProfile:
    """An average: up to which step, and how wide.

    Args:
        step: ``t > 0``; steps that were never taken lie between those that were.
        sigma_rel: relative width in ``(0, 12^−½]``.

    """

    step: float
    sigma_rel: float


@dataclass(frozen=True)
class Combination:
    """How a wanted average is made of stored ones.

    Args:
        coefficients: one for each stored average; they sum to one.
        residual: ``‖Σ c_i P_i − P‖ / ‖P‖``, the share of the wanted average's distance from the
            start that the combination is expected to miss; 0 for a stored one.

    """

    coefficients: tuple[float, ...]
    residual: float


def inner_products(one: Sequence[PowerProfile], other: Sequence[PowerProfile]) -> Tensor:
    """``∫ P_a(s) P_b(s) ds`` of cumulative profiles, float64 ``(len(one), len(other))``.

    With ``m = min(t_a, t_b)``, ``a = γ_a + 1``, ``b = γ_b + 1``: ``m [1 − (m/t_a)^a / (a+1) −
    (m/t_b)^b / (b+1) + (m/t_a)^a (m/t_b)^b / (a+b+1)]``.
    """
    t_a, a = _steps_and_powers(one)
    t_b, b = _steps_and_powers(other)
    t_a, a = t_a[:, None], a[:, None]
    m = torch.minimum(t_a, t_b)
    x, y = (m / t_a) ** a, (m / t_b) ** b
    return m * (1 - x / (a + 1) - y / (b + 1) + x * y / (a + b + 1))


def combine(stored: Sequence[PowerProfile], wanted: PowerProfile) -> Combination:
    """Least squares: ``min_c ‖Σ c_i P_i − P‖²`` with ``Σ c_i = 1``, solved in float64.

    Args:
        stored: the averages that there are, at least one, all different.
        wanted: the one to express.

    Raises:
        ConfigError: a width is out of range.

    """
    if wanted in stored:
        return Combination(tuple(float(profile == wanted) for profile in stored), 0.0)
    count, scale = len(stored), max(profile.step for profile in stored)
    products = inner_products(stored, stored) / scale
    aims = inner_products(stored, [wanted])[:, 0] / scale
    norm = float(inner_products([wanted], [wanted])) / scale
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)  # a Lagrange multiplier's too
    system[:count, :count] = products
    system[count, count] = 0
    right = torch.cat([aims, torch.ones(1, dtype=torch.float64)])
    # many snapshots are nearly dependent: gelsd then takes the smallest coefficients that fit
    solution = torch.linalg.lstsq(system, right[:, None], driver="gelsd").solution
    found = solution[:count, 0]
    squared = float(found @ products @ found - 2 * found @ aims) + norm
    return Combination(tuple(found.tolist()), max(0.0, squared / norm) ** 0.5)


def _steps_and_powers(profiles: Sequence[PowerProfile]) -> tuple[Tensor, Tensor]:
    steps = torch.tensor([profile.step for profile in profiles], dtype=torch.float64)
    powers = [exponent_of(profile.sigma_rel) + 1 for profile in profiles]
    return steps, torch.tensor(powers, dtype=torch.float64)
