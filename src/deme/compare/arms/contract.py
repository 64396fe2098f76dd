"""What every kind of arm is, and what it is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from ...config import Config
from ...runs.context import RunContext
from ...runs.spec import RunSpec
from ..contender import Contender, Setting
from ..tasks import Task


class Bench(Protocol):
    """What arms are made on: the base run, its budget, and the arms that were made before."""

    @property
    def context(self) -> RunContext:
        """The comparison's own run: model, images, detectors, protocol."""
        ...

    @property
    def budget_steps(self) -> int:
        """Optimizer steps that each arm may take in all."""
        ...

    def training_run(self, seed: int, setting: Setting, **decouple: Any) -> RunSpec:
        """A run that trains: the base run's model and data at a training seed.

        Args:
            seed: of the training.
            setting: the rate, and whether another average is wanted of it.
            **decouple: what differs from the base run's ``decouple``.

        """
        ...

    def arm(self, name: str) -> Arm:
        """An arm by its name, to make another of what it trains."""
        ...

    def settings(self) -> Sequence[Setting]:
        """The learning rates that are tried, at the published average."""
        ...

    def contender(self, arm: str, seed: int, setting: Setting | None = None) -> Contender:
        """A model of an arm that was made before, at its chosen setting or another that was tried.

        Other settings are there at the tuning seed only.
        """
        ...

    def flops_per_step(self, spec: RunSpec, index: int = 0) -> float | None:
        """Floating-point operations of one optimizer step of a run's expert, counted."""
        ...


class Arm(Config):
    """One row of the table.

    A kind says which tasks make it (:meth:`phases`) and, when they are done, what stands for it
    (:meth:`contender`). Both are asked for each training seed and setting.
    """

    title: str | None = None
    """What a reader calls it; None: its name."""

    def made_of(self) -> str | None:
        """The arm that this one is made of, and that must be made before."""
        return None

    @property
    def tuned(self) -> bool:
        """Whether it is tried at every setting; else it takes what :meth:`made_of`'s arm chose."""
        return True

    def needs(self) -> tuple[str, ...]:
        """All arms that must be made before."""
        of = self.made_of()
        return () if of is None else (of,)

    def check(self, bench: Bench) -> None:
        """Raises what would stop the arm later, as far as it can be known before any training.

        Raises:
            DemeError: of whatever kind.

        """
        self.phases(bench, 0, bench.settings()[0])

    @abstractmethod
    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """Tasks, phase after phase; those of one phase may be done side by side."""

    @abstractmethod
    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """What stands for the arm, when its tasks are done."""
