"""What a strategy asks for, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .space import Candidate

Tables = Mapping[str, Tensor]
"""What a candidate was measured with: by name (a detector's, a reward's, ``loss``), float32
``(rows, columns)``. Row n of every candidate's table has the same noise, so rows are paired."""


@dataclass(frozen=True)
class Proposal:
    """A candidate to evaluate.

    Attributes:
        candidate: the point.
        images: how many images, the first of the search's common noise; None: all of them.
        notes: what the strategy thought when it asked, kept with the evaluation: ``predicted``
            (the value it expects) and ``reason``, say.

    """

    candidate: Candidate
    images: int | None = None
    notes: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A candidate and what came of it.

    Attributes:
        candidate: the point.
        images: how many images were drawn.
        values: each objective's value, lower is better; ``inf`` where it was not finite.
        tables: the features behind the values; empty where they were not kept.
        notes: the proposal's.

    """

    candidate: Candidate
    images: int
    values: tuple[float, ...]
    tables: Tables = field(default_factory=dict)
    notes: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The value of the first objective, of which there usually is one."""
        return self.values[0]
