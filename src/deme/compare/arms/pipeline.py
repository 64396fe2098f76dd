"""A pipeline that was made elsewhere: another tool's result, under the same protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ...decouple import open_pipeline
from ...denoisers import Denoiser
from ...errors import MismatchError
from ...merge import StateDict
from ..contender import Contender, Cost, Setting
from ..models import ElsewhereModel
from ..tasks import Task
from .contract import Arm, Bench


class PipelineArm(Arm):
    """Somebody's model; it is judged only, and how it was trained is not known here."""

    kind: Literal["pipeline"]
    """A pipeline that was made elsewhere."""
    path: str
    """Its folder or hub id."""

    @property
    def tuned(self) -> bool:
        """It is as it is."""
        return False

    def check(self, bench: Bench) -> None:
        """Opens it, since no task does."""
        self.contender(bench, 0, bench.settings()[0])

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """None."""
        return []

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The pipeline.

        Raises:
            MismatchError: it draws images of another size, number of channels or set of classes,
                so no number of it would mean what the others' mean.

        """
        folder = Path(self.path).expanduser()
        path = str(folder) if folder.exists() else self.path
        denoiser = open_pipeline(path)
        _require_same_images(path, denoiser, bench.context.denoiser)
        model = ElsewhereModel(path, StateDict(denoiser.weights(), path).digest())
        return Contender(model, Cost(training_flops=None))


def _require_same_images(path: str, own: Denoiser, shared: Denoiser) -> None:
    def images(denoiser: Denoiser) -> dict[str, int | None]:
        return {
            "resolution": denoiser.resolution,
            "channels": denoiser.image_channels,
            "classes": denoiser.num_classes,
        }

    mine, theirs = images(own), images(shared)
    if differing := [
        f"{name} {mine[name]} ≠ {theirs[name]}" for name in mine if mine[name] != theirs[name]
    ]:
        raise MismatchError(
            f"{path} cannot stand in this comparison: {', '.join(differing)}",
            fix="compare models of the same images, or give it a comparison of its own",
        )
