"""Running one training to a finished pipeline folder in the run: experts and baselines alike."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...decouple import TrainingJob, TrainingResult, train_expert
from ...decouple.checkpoint import OPTIMIZER_FILE, list_checkpoints, strip_checkpoint
from ...decouple.snapshots import SNAPSHOTS
from ...files import atomic_path, read_json, remove, write_json
from ..context import RunContext


def train_to_folder(
    context: RunContext, job: TrainingJob, artifact: str, made_from: Mapping[str, Any], title: str
) -> bool:
    """Trains ``job`` into the pipeline folder ``artifact`` unless it is there already.

    Returns:
        Whether there was anything to do.

    """
    if context.store.is_complete(artifact, made_from):
        return False
    work = context.store.path / "work" / artifact
    _forget_other_work(work, made_from)
    accelerator = context.accelerator
    runtime = context.spec.runtime
    if runtime.report_to:  # a tracker's run for each training: their steps all start at 0
        accelerator.init_trackers(
            runtime.tracker_project_name,
            config={"run": context.store.path.name, "artifact": artifact},
        )
    with context.reporter.bar(title, job.config.steps) as bar:

        def on_progress(step: int, values: Mapping[str, float]) -> None:
            note = f"loss {values['loss']:.4f} rate {values['learning_rate']:.0e}"
            bar.at(step, note)
            if runtime.report_to:
                tracked = {f"{artifact}/{k}": v for k, v in values.items() if k != "step"}
                accelerator.log(tracked, step=step)

        result = train_expert(
            job,
            work,
            accelerator,
            checkpointing_steps=runtime.checkpointing_steps,
            checkpoints_total_limit=runtime.checkpoints_total_limit,
            on_progress=on_progress,
        )
    if runtime.report_to:
        accelerator.end_training()
    if accelerator.is_main_process:
        _save(context.store.path / artifact, job, result, work / SNAPSHOTS)
        context.store.complete(artifact, made_from)
        for checkpoint in list_checkpoints(work / "checkpoints"):
            strip_checkpoint(checkpoint)
        remove(work / SNAPSHOTS)  # last: what could still resume at the end would miss them
    accelerator.wait_for_everyone()
    return True


def _forget_other_work(work: Path, made_from: Mapping[str, Any]) -> None:
    """Checkpoints of another configuration of the same name must not be resumed."""
    note = work / "made_from.json"
    if note.is_file() and read_json(note) != dict(made_from):
        remove(work)
    complete = list_checkpoints(work / "checkpoints")
    if complete and not (complete[-1] / OPTIMIZER_FILE).is_file():
        remove(work / "checkpoints")  # of a finished training whose result was removed or altered
    write_json(note, dict(made_from))


def _save(folder: Path, job: TrainingJob, result: TrainingResult, snapshots: Path) -> None:
    with atomic_path(folder) as partial:
        partial.mkdir()
        result.denoiser.save(partial)
        if snapshots.is_dir():
            shutil.copytree(snapshots, partial / SNAPSHOTS)
        timesteps = job.timesteps.timesteps
        record = {
            "name": job.name,
            "timesteps": [timesteps.low, timesteps.high],
            "config": job.config.model_dump(mode="json"),
            "losses": result.losses,
        }
        write_json(partial / "training.json", record)
