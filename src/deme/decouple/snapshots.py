"""Snapshots of an expert's power-function averages, and weights made of them afterwards.

``snapshots/step-000125/sigma-0.05.safetensors`` holds the trained parameters as averaged up to
that step, float32, channel-wise projections beside the layers that will absorb them: folding is a
product of the two, so averages are combined first and folded then, as the expert itself is.

While training they are in the work folder; they end inside the expert's own folder, because what
a search finds on them is made of them: they are kept, altered and removed with the expert, under
its one hash. A loader of plain pipelines does not look at them. They take steps × widths times the
model's float32 size for each expert. Buffers are not in them; no training here changes any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ConfigError, StorageError
from ..files import atomic_path, remove
from .power_average import Combination, PowerProfile, combine
from .projection import fold_parameters

SNAPSHOTS = "snapshots"
"""Name of the folder, in a training's work folder and in a finished expert's."""
TOLERANCE = 0.2
"""The largest residual that is taken without asking. From the second of evenly spaced snapshots on,
every step and every width from 0.05 to 0.10, where those two were kept, is below it."""


@dataclass(frozen=True)
class SnapshotSchedule:
    """When averages are written, and which.

    Args:
        steps: numbers of finished optimizer steps, increasing.
        sigmas: relative widths of the averages; none where there are no steps.

    """

    steps: tuple[int, ...] = ()
    sigmas: tuple[float, ...] = ()

    @classmethod
    def even(cls, total: int, count: int, sigmas: tuple[float, ...]) -> SnapshotSchedule:
        """``count`` evenly spaced steps of which ``total`` is the last; fewer where total is."""
        steps = {round(total * i / count) for i in range(1, count + 1)} - {0}
        return cls(tuple(sorted(steps)), sigmas) if steps else cls()


class SnapshotWriter:
    """Writes a training's snapshots.

    Args:
        folder: the training's work folder.
        schedule: when and which.

    """

    def __init__(self, folder: Path, schedule: SnapshotSchedule) -> None:
        self.folder = folder / SNAPSHOTS
        self.schedule = schedule

    def resume(self, step: int) -> None:
        """Drops what is not of this training up to ``step``, where it goes on from.

        Raises:
            StorageError: a snapshot that was written before is gone.

        """
        done = {_step_folder(self.folder, item) for item in self.schedule.steps if item <= step}
        for path in self.folder.glob("step-*"):
            if path not in done:
                remove(path)
        if missing := sorted(path for path in done if not path.is_dir()):
            raise StorageError(
                f"The training stands at step {step} and its snapshot {missing[0]} is missing",
                fix=f"delete {self.folder.parent} and repeat the command: this training starts "
                "anew, all else is kept",
            )

    def after(self, step: int, averages: Mapping[float, Mapping[str, Tensor]]) -> None:
        """Writes the averages, by width and name, where the schedule has this step.

        Raises:
            StorageError: no space left, or no permission; no part of the snapshot stays then.

        """
        if step not in self.schedule.steps:
            return
        with atomic_path(_step_folder(self.folder, step)) as partial:
            partial.mkdir()
            for sigma, tensors in averages.items():
                whole = {name: value.cpu().contiguous() for name, value in tensors.items()}
                save_file(whole, _file(partial, sigma))


@dataclass(frozen=True)
class ExpertSnapshots:
    """The averages that were kept of one expert's training.

    Args:
        folder: where they are.
        profiles: the step and the relative width of each, in that order.

    """

    folder: Path
    profiles: tuple[PowerProfile, ...]

    @classmethod
    def open(cls, folder: Path) -> ExpertSnapshots:
        """Finds the snapshots of an expert's folder (or of a training's work folder).

        Raises:
            ConfigError: it has none.

        """
        inner = folder / SNAPSHOTS
        profiles = sorted(
            PowerProfile(int(path.parent.name[len("step-") :]), float(path.stem[len("sigma-") :]))
            for path in inner.glob("step-*/sigma-*.safetensors")
        )
        if not profiles:
            raise ConfigError(
                f"{folder} has no snapshots: only the end of its training was kept",
                fix="set decouple.snapshots to 8, say, and train the experts anew",
            )
        return cls(inner, tuple(profiles))

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the snapshots, increasing."""
        return tuple(sorted({int(profile.step) for profile in self.profiles}))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The relative widths that were kept, increasing."""
        return tuple(sorted({profile.sigma_rel for profile in self.profiles}))

    def combination(self, step: float, sigma_rel: float) -> Combination:
        """How the average of a step and a relative width is made of the kept ones, and how well.

        Raises:
            ConfigError: the step is before the first snapshot or after the last, or the width is
                not in ``(0, 12^−½]``.

        """
        first, last = self.steps[0], self.steps[-1]
        if not first <= step <= last:
            raise ConfigError(
                f"The snapshots in {self.folder} cannot give step {step:g}: the first is of step "
                f"{first}, the last of {last}",
                fix=f"choose a step from {first} to {last}, or train with more decouple.snapshots",
            )
        return combine(self.profiles, PowerProfile(step, sigma_rel))

    def reconstruct(
        self, step: float, sigma_rel: float, *, tolerance: float = TOLERANCE
    ) -> dict[str, Tensor]:
        """The expert as trained to ``step`` and averaged with relative width ``sigma_rel``.

        Sums are in float64, a tensor at a time.

        Args:
            step: from the first snapshot's to the last's; it need not be an integer.
            sigma_rel: relative width of the average in ``(0, 12^−½]``.
            tolerance: the largest residual to accept, see :class:`Combination`. What is returned
                is well defined at any: a search that measures it may give ``math.inf``.

        Returns:
            Projections folded; names and shapes of the base's parameters; float32, on the CPU.

        Raises:
            ConfigError: a step or width that the snapshots cannot express to the tolerance.
            StorageError: a snapshot is truncated or gone.

        """
        made = self.combination(step, sigma_rel)
        if made.residual > tolerance:
            raise ConfigError(
                f"What the snapshots in {self.folder} make of step {step:g} and relative width "
                f"{sigma_rel:g} misses {made.residual:.0%} of its way from the start "
                f"(accepted: {tolerance:.0%})",
                fix=f"go nearer to a kept step ({_listed(self.steps)}) and width "
                f"({_listed(self.sigmas)}), or train with more of them",
            )
        used = [
            (coefficient, _file(_step_folder(self.folder, int(profile.step)), profile.sigma_rel))
            for coefficient, profile in zip(made.coefficients, self.profiles, strict=True)
            if coefficient
        ]
        return fold_parameters(_weighted_sum(used))


def _weighted_sum(terms: list[tuple[float, Path]]) -> dict[str, Tensor]:
    try:
        with contextlib.ExitStack() as stack:
            opened = [
                (coefficient, stack.enter_context(safe_open(path, framework="pt")))
                for coefficient, path in terms
            ]
            sums: dict[str, Tensor] = {}
            for name in opened[0][1].keys():  # noqa: SIM118 - a handle, not a mapping
                total = torch.zeros((), dtype=torch.float64)
                for coefficient, file in opened:
                    total = total + coefficient * file.get_tensor(name).double()
                sums[name] = total.float()
            return sums
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"A snapshot in {terms[0][1].parent.parent} cannot be read: {error}",
            fix="remove the expert's folder and train it anew",
        ) from error


def _step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}"


def _file(folder: Path, sigma_rel: float) -> Path:
    return folder / f"sigma-{sigma_rel!r}.safetensors"


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
