"""``τ = θ_expert − θ``: the difference of two sets of weights, always in float32."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import MismatchError
from .state_dict import StateDict


class TaskVector(Mapping[str, Tensor]):
    """A difference of weights by name, float32.

    A task vector is tiny beside the weights: at ``|τ|/|θ| = 0.003`` half of its elements are lost
    in bfloat16. So it never leaves float32.
    """

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        self._tensors = {key: tensors[key].float() for key in sorted(tensors)}
        self.name = name

    @classmethod
    def between(cls, base: StateDict, expert: StateDict, name: str | None = None) -> TaskVector:
        """``θ_expert − θ_base``.

        Raises:
            MismatchError: keys, shapes or dtypes differ; the message lists what.

        """
        base.require_same_layout(expert)
        tensors = {
            key: expert[key].to(base[key].device).float() - base[key].float() for key in base
        }
        return cls(tensors, name or expert.origin)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def dot(self, other: TaskVector) -> float:
        """``⟨τ, τ'⟩`` over all elements, accumulated in float64.

        Raises:
            MismatchError: the other's keys or shapes differ.

        """
        if [(key, self[key].shape) for key in self] != [(key, other[key].shape) for key in other]:
            raise MismatchError(f"The task vectors {self.name} and {other.name} differ in layout")
        return sum(
            float(torch.dot(self[key].flatten().double(), other[key].flatten().double()))
            for key in self
        )

    def norm(self) -> float:
        """``‖τ‖`` over all elements."""
        return self.dot(self) ** 0.5

    def cosine(self, other: TaskVector) -> float:
        """``⟨τ, τ'⟩ / (‖τ‖ ‖τ'‖)``; 0 where one of them is 0."""
        norms = self.norm() * other.norm()
        return self.dot(other) / norms if norms > 0 else 0.0


def cosine_matrix(vectors: Sequence[TaskVector]) -> list[list[float]]:
    """Pairwise cosines of task vectors: exactly symmetric, 1 on the diagonal.

    The row and the column of a vector that is 0 are 0.
    """
    norms = [vector.norm() for vector in vectors]
    matrix = [[0.0] * len(norms) for _ in norms]
    for i, norm in enumerate(norms):
        matrix[i][i] = float(norm > 0)
    for (i, a), (j, b) in itertools.combinations(enumerate(vectors), 2):
        if norms[i] > 0 and norms[j] > 0:
            matrix[i][j] = matrix[j][i] = a.dot(b) / (norms[i] * norms[j])
    return matrix
