"""The model as it was."""

from __future__ import annotations

from typing import Literal

from ..contender import Contender, Cost, Setting
from ..models import PretrainedModel
from ..tasks import Task
from .contract import Arm, Bench


class PretrainedArm(Arm):
    """The pretrained model; nothing to tune."""

    kind: Literal["pretrained"]
    """The model as it was."""

    @property
    def tuned(self) -> bool:
        """There is nothing to tune."""
        return False

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """None."""
        return []

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The base run's model."""
        return Contender(PretrainedModel(bench.context.base_digest), Cost())
