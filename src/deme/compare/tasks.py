"""Units of work of a comparison: each idempotent, each small enough to send to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..decouple.snapshots import ExpertSnapshots
from ..files import atomic_path
from ..runs.context import RunContext
from ..runs.job import run_job
from ..runs.spec import RunSpec
from ..runs.stages.train import train_one
from ..runs.store import RunStore


class Task(Protocol):
    """Something to be made. Equal tasks make the same thing, and are done once."""

    def run(self, context: RunContext) -> bool:
        """Makes it; returns whether there was anything to do.

        Args:
            context: of the comparison's own run, in whichever process.

        """
        ...


def do_task(context: RunContext, task: Task) -> bool:
    """Runs one task; for :meth:`~deme.runs.workers.Workers.map`."""
    return task.run(context)


def sibling(context: RunContext, spec: RunSpec) -> RunContext:
    """Another run beside this one, working in this process alone.

    The model, images, detectors and references that both have in common are loaded once. It is
    carried out as the comparison is: its checkpoints and trackers are those of this run's runtime.
    """
    here = {"workers": 1, "ray": None, "threads": None}
    runtime = context.spec.runtime.model_copy(update=here)
    spec = spec.model_copy(update={"runtime": runtime})
    other = RunContext(spec, sibling_store(context, spec), context.reporter)
    own = context.spec
    shared = vars(other)
    shared["accelerator"] = context.accelerator
    same_images = (spec.model, spec.data) == (own.model, own.data)
    seen = (spec.detector, spec.evaluate.detectors) == (own.detector, own.evaluate.detectors)
    if spec.model == own.model and "block" not in (
        spec.decouple.projection,
        own.decouple.projection,
    ):
        shared["denoiser"] = context.denoiser
        shared["base"] = context.base
        shared["base_digest"] = context.base_digest
    if same_images:
        shared["source"] = context.source
    if seen:
        shared["detectors"] = context.detectors
    if same_images and seen and spec.evaluate.reference == own.evaluate.reference:
        shared["references"] = context.references
    return other


def sibling_store(context: RunContext, spec: RunSpec) -> RunStore:
    """The folder of another run beside this one."""
    return RunStore(context.store.path.parent, spec)


@dataclass(frozen=True)
class TrainTask:
    """One expert of a run; see :func:`~deme.runs.stages.train.train_one`.

    Attributes:
        spec: the run, as JSON.
        index: which of its experts.

    """

    spec: str
    index: int

    def run(self, context: RunContext) -> bool:
        """Trains it, or finds it done; waits where another comparison is at it."""
        other = sibling(context, RunSpec.model_validate_json(self.spec))
        other.store.prepare()
        return train_one(other, self.index, wait=True)


@dataclass(frozen=True)
class AverageTask:
    """An expert with another average of its weights, as a pipeline: ``averages/<width>/<name>``.

    Attributes:
        spec: the run, as JSON; its trainings kept this width.
        index: which of its experts.
        width: the average's relative width.
        step: of the training; None: its last.

    """

    spec: str
    index: int
    width: float
    step: int | None = None

    def run(self, context: RunContext) -> bool:
        """Writes it, or finds it done."""
        other = sibling(context, RunSpec.model_validate_json(self.spec))
        expert = other.experts[self.index]
        artifact = average_artifact(expert.name, self.width, self.step)
        made_from = {
            "expert": other.store.digest_of(f"experts/{expert.name}"),
            "width": self.width,
            "step": self.step,
        }
        if other.store.is_complete(artifact, made_from):
            return False
        snapshots = ExpertSnapshots.open(other.expert_folder(expert))
        denoiser = other.denoiser.clone()
        step = snapshots.steps[-1] if self.step is None else self.step
        denoiser.load_weights(snapshots.reconstruct(step, self.width))
        with atomic_path(other.store.path / artifact) as partial:
            partial.mkdir()
            denoiser.save(partial)
        other.store.complete(artifact, made_from)
        return True


def average_artifact(expert: str, width: float, step: int | None = None) -> str:
    """Where an expert's other average is, in its run's folder."""
    folder = Path("averages") / f"{width:g}"
    return str((folder if step is None else folder / f"step-{step:06d}") / expert)


@dataclass(frozen=True)
class SearchTask:
    """Merging weights for experts that are there, and the merged pipeline.

    Attributes:
        spec: a run whose experts are given, as JSON.

    """

    spec: str

    def run(self, context: RunContext) -> bool:
        """Searches and merges, or finds it done; waits where another comparison is at it."""
        other = sibling(context, RunSpec.model_validate_json(self.spec))
        before = other.store.path / "merged" / "model_index.json"
        known = before.is_file()
        run_job(other, ["experts", "search", "merge"], wait=True)
        return not known
