"""What storing merged weights in half precision loses of the change that merging made."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """How much of ``Δ = θ_merged − θ`` is left after rounding."""

    changed: int
    """Elements that merging changed."""
    survived: int
    """Those of them that still differ from the rounded base."""
    relative_error: float
    """``‖Δ' − Δ‖ / ‖Δ‖``, where ``Δ'`` is the difference of the rounded weights."""

    @property
    def survived_share(self) -> float:
        """Of the changed elements; 1 where nothing changed."""
        return self.survived / self.changed if self.changed else 1.0

    def describe(self, dtype: torch.dtype) -> str:
        """One line for people."""
        name = str(dtype).removeprefix("torch.")
        return (
            f"stored in {name}: {self.survived_share:.1%} of the changed elements survive, "
            f"relative error of the change {self.relative_error:.2g}"
        )


class ExportLoss:
    """Sums up the loss over pieces of tensors, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = self._survived = 0
        self._errors: list[float] = []
        self._norms: list[float] = []

    def add(self, base: Tensor, merged: Tensor, stored: Tensor) -> None:
        """One piece.

        Args:
            base: ``θ``, float32.
            merged: ``θ_merged``, float32, of the same shape.
            stored: ``merged`` in the dtype of the file.

        """
        delta = merged - base
        kept = stored.float() - base.to(stored.dtype).float()
        changed = delta != 0
        survived = int((changed & (kept != 0)).sum())
        error = float((kept - delta).double().square().sum())
        norm = float(delta.double().square().sum())
        with self._lock:
            self._changed += int(changed.sum())
            self._survived += survived
            self._errors.append(error)
            self._norms.append(norm)

    def total(self) -> Loss:
        """The loss over all pieces so far."""
        # summed exactly, so that the order in which threads came does not count
        error, norm = math.fsum(self._errors), math.fsum(self._norms)
        relative = (error / norm) ** 0.5 if norm > 0 else 0.0
        return Loss(self._changed, self._survived, relative)
