"""A quadratic of the merging weights, and its least value in a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .space import Box, Candidate


@dataclass(frozen=True, eq=False)
class QuadraticLoss:
    """``L(w) ≈ L_0 + g·δ + ½ δᵀHδ`` with ``δ = w − w_0``.

    Attributes:
        center: ``w_0``.
        value: ``L_0``, the loss there.
        gradient: ``g``, float64 ``(N,)``.
        hessian: ``H``, float64 ``(N, N)``, symmetric and positive semidefinite.

    """

    center: Candidate
    value: float
    gradient: Tensor
    hessian: Tensor

    def __call__(self, weights: Sequence[float]) -> float:
        """The loss that the model expects at these weights."""
        step = torch.tensor(
            [w - at for w, at in zip(weights, self.center, strict=True)], dtype=torch.float64
        )
        return self.value + float(self.gradient @ step + step @ self.hessian @ step / 2)

    def minimiser(self, box: Box) -> Candidate:
        """Where in the box the model is least.

        With ``H = VΛVᵀ`` it is the bounded least-squares problem ``min ‖Λ^½Vᵀδ + Λ^−½Vᵀg‖²``.
        Directions in which the model is flat to rounding, as between two equal task vectors, are
        left out of it.
        """
        from scipy.optimize import lsq_linear

        values, vectors = torch.linalg.eigh(self.hessian)
        curved = values > values.abs().max() * torch.finfo(values.dtype).eps * len(values)
        if not bool(curved.any()):
            return box.clip(self.center)
        root, axes = values[curved].sqrt(), vectors[:, curved].T
        low, high = (
            [edge - at for edge, at in zip(edges, self.center, strict=True)]
            for edges in (box.low, box.high)
        )
        found = lsq_linear(
            (root[:, None] * axes).numpy(),
            (-(axes @ self.gradient) / root).numpy(),
            bounds=(low, high),
            method="bvls",
        )
        return box.clip([at + float(step) for at, step in zip(self.center, found.x, strict=True)])
