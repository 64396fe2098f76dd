"""Sums over the elements of weights and task vectors, from which all that is told of them follows.

Sums of parts of a network add up to those of the whole, so one pass over the tensors, a piece at a
time, gives norms, cosines and conflicts of each block, each kind of layer and everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

EXPORTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""Half precisions that an export may be in."""

Matrix = list[list[float]]


@dataclass
class ElementSums:
    """Sums over some of a model's elements, with N task vectors of it.

    Elements of which any model has a value that is not finite are left out of all but ``elements``.

    Args:
        experts: N.

    """

    experts: int
    elements: int = 0
    """How many there are."""
    base_squares: float = 0.0
    """``‖θ‖²``."""
    with_base: Tensor = field(init=False)
    """``⟨θ, τ_i⟩``, (N,), float64."""
    gram: Tensor = field(init=False)
    """``⟨τ_i, τ_j⟩``, (N, N), float64."""
    both: Tensor = field(init=False)
    """Elements in which ``τ_i`` and ``τ_j`` both are not 0, (N, N), float64."""
    opposed: Tensor = field(init=False)
    """Those of them in which the signs differ, (N, N), float64."""
    shared: int = 0
    """Elements in which two task vectors or more are not 0."""
    contested: int = 0
    """Those of them in which not all signs are the same."""
    survived: dict[str, Tensor] = field(init=False)
    """By half precision: changed elements whose change outlives rounding, (N,), float64."""

    def __post_init__(self) -> None:
        square = (self.experts, self.experts)
        self.gram, self.both, self.opposed = (
            torch.zeros(square, dtype=torch.float64) for _ in range(3)
        )
        self.with_base = torch.zeros(self.experts, dtype=torch.float64)
        self.survived = {name: torch.zeros(self.experts, dtype=torch.float64) for name in EXPORTS}

    def add_piece(self, base: Tensor, deltas: Tensor) -> None:
        """Adds a piece of one tensor.

        Args:
            base: ``θ``, float32, (B,) with B at most 2²⁴, finite.
            deltas: ``τ_i``, float32, (N, B), finite.

        """
        self.elements += base.numel()
        wide_base, wide = base.double(), deltas.double()
        self.base_squares += float(wide_base.dot(wide_base))
        if not self.experts:
            return
        self.with_base += wide @ wide_base
        self.gram += wide @ wide.T
        signs = deltas.sign()  # counts of up to 2²⁴ are exact in float32
        nonzero = signs.abs()
        both = (nonzero @ nonzero.T).double()
        self.both += both
        self.opposed += (both - (signs @ signs.T).double()) / 2
        self.shared += int((nonzero.sum(0) > 1).sum())
        self.contested += int(((signs.amax(0) > 0) & (signs.amin(0) < 0)).sum())
        merged = base + deltas
        for name, dtype in EXPORTS.items():
            # what does not change cannot differ after rounding either
            self.survived[name] += (merged.to(dtype) != base.to(dtype)).sum(1)

    def __iadd__(self, other: ElementSums) -> ElementSums:
        """Adds the sums over other elements of the same model."""
        self.elements += other.elements
        self.base_squares += other.base_squares
        self.with_base += other.with_base
        self.gram += other.gram
        self.both += other.both
        self.opposed += other.opposed
        self.shared += other.shared
        self.contested += other.contested
        for name, count in other.survived.items():
            self.survived[name] += count
        return self

    @property
    def base_norm(self) -> float:
        """``‖θ‖``."""
        return math.sqrt(self.base_squares)

    @property
    def expert_norms(self) -> list[float]:
        """``‖θ + τ_i‖``."""
        squares = self.base_squares + 2 * self.with_base + self.gram.diagonal()
        return squares.clamp(min=0).sqrt().tolist()

    @property
    def norms(self) -> list[float]:
        """``‖τ_i‖``."""
        return self.gram.diagonal().sqrt().tolist()

    @property
    def relative_norms(self) -> list[float | None]:
        """``‖τ_i‖ / ‖θ‖``; None where ``θ`` is 0."""
        norm = self.base_norm
        return [value / norm if norm else None for value in self.norms]

    @property
    def changed(self) -> list[float]:
        """Share of the elements in which ``τ_i`` is not 0; 0 where there are no elements."""
        return [count / max(1, self.elements) for count in self._changed]

    @property
    def cosines(self) -> Matrix:
        """``⟨τ_i, τ_j⟩ / (‖τ_i‖ ‖τ_j‖)``; 0 where one of them is 0."""
        norms = self.norms
        return [
            [
                float(i == j) if i == j and a else float(self.gram[i, j]) / (a * b) if a * b else 0
                for j, b in enumerate(norms)
            ]
            for i, a in enumerate(norms)
        ]

    @property
    def sign_conflicts(self) -> Matrix:
        """Of the elements in which both are not 0, the share in which the signs differ."""
        return (self.opposed / self.both.clamp(min=1)).tolist()

    @property
    def contested_share(self) -> float:
        """Of the elements in which two or more are not 0, the share without one common sign."""
        return self.contested / max(1, self.shared)

    @property
    def surviving(self) -> dict[str, list[float]]:
        """By half precision: of the changed elements, the share that rounding leaves changed.

        1 where nothing is changed.
        """
        return {
            name: [
                float(kept) / changed if changed else 1.0
                for kept, changed in zip(count, self._changed, strict=True)
            ]
            for name, count in self.survived.items()
        }

    @property
    def _changed(self) -> list[float]:
        return self.both.diagonal().tolist()


def total(parts: Sequence[ElementSums], experts: int) -> ElementSums:
    """The sums over several parts of a model."""
    whole = ElementSums(experts)
    for part in parts:
        whole += part
    return whole
