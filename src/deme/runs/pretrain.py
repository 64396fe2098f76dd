"""``deme pretrain``: a denoiser from random weights, or on from others, in the one loop."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data import DataConfig
from ..decouple import TrainingJob
from ..errors import StorageError
from ..files import atomic_path, hash_tree, read_json, write_json
from .context import RunContext
from .environment import describe_environment
from .measured_tables import require_measurable
from .pretrain_measure import compare_rounds, measure_result, measure_round
from .pretrain_pictures import write_pictures
from .pretrain_spec import PretrainSpec
from .pretrain_start import described_start, start_config, write_start
from .progress import Reporter
from .stages.train import expert_job
from .stages.training import train_to_folder
from .store import RunStore

START, RESULT = "start", "pretrained"
"""Artifacts: the pipeline of random weights, and the one that was trained."""


class Pretraining:
    """A pretraining and its folder, ``<output>/<name>-<hash of what decides the weights>``.

    Args:
        spec: the configuration.
        output: the folder that holds runs.
        reporter: where progress goes.

    """

    def __init__(self, spec: PretrainSpec, output: Path, reporter: Reporter) -> None:
        self.spec = spec
        self.store = RunStore(output, spec)
        self.reporter = reporter

    @cached_property
    def context(self) -> RunContext:
        """The same as a run with one range, once the start is there."""
        run = self.spec.as_run(start_config(self.spec, self.store.path / START))
        return RunContext(run, self.store, self.reporter)

    @property
    def result(self) -> Path:
        """The trained pipeline: a normal diffusers folder, which a run's ``model`` may name."""
        return self.store.path / RESULT

    def prepare(self) -> None:
        """Makes the folder, and the random weights where training starts from such."""
        self.store.prepare()
        described = described_start(self.spec, self.store.cache)
        if described is None or self.store.is_complete(START, described):
            return
        write_start(described, self.store.path / START)
        self.store.complete(START, described)

    def job(self, number: int) -> TrainingJob:
        """The training of a round, counted from 1."""
        job = expert_job(self.context, self.context.experts[0])
        if number > 1:
            before = self.context.load_pipeline(self.store.path / round_artifact(number - 1))
            job = dataclasses.replace(job, pretrained=before)
        return dataclasses.replace(job, name=f"round {number}")

    def train(self, number: int, artifact: str) -> bool:
        """Trains a round to a pipeline's folder; returns whether there was anything to do."""
        made_from = {
            "base": self.context.base_digest
            if number == 1
            else self.store.digest_of(round_artifact(number - 1)),
            "data": self.context.source.digest,
            "augmentation": _augmentation(self.spec.data),
            "training": self.spec.training.model_dump(mode="json"),
            "seed": self.spec.seed,
        }
        rounds = self.spec.plateau.rounds
        title = "pretraining" if rounds == 1 else f"round {number} of at most {rounds}"
        return train_to_folder(self.context, self.job(number), artifact, made_from, title)


def run_pretraining(pretraining: Pretraining) -> dict[str, Any]:
    """Trains, measures and draws, or finds all of it done; the same command resumes.

    Returns:
        The record that is kept as ``metrics.json``; see :func:`.measure_result`.

    Raises:
        RunLockedError: another process works on this pretraining.
        DemeError: a model, images or settings that cannot be used.

    """
    from accelerate import PartialState

    main = PartialState(cpu=pretraining.spec.runtime.device == "cpu").is_main_process
    store = pretraining.store
    with contextlib.ExitStack() as held:
        if main:
            held.enter_context(store.lock())
            store.sweep()
            pretraining.prepare()
        PartialState().wait_for_everyone()
        context = pretraining.context
        if pretraining.spec.detector is not None:  # before hours of training
            require_measurable(context.detectors, pretraining.spec.evaluate.metrics)
        if main:
            write_json(store.path / "environment.json", describe_environment(context))
        rounds = _train(pretraining, main)
        if not main:
            return {}
        record = measure_result(context, pretraining.spec, pretraining.result, rounds)
        write_pictures(context, pretraining.spec, pretraining.result)
        return record


def round_artifact(number: int) -> str:
    """Where the pipeline of a round is, counted from 1."""
    return f"rounds/{number:02d}"


def _train(pretraining: Pretraining, main: bool) -> list[dict[str, Any]]:
    """Trains one round or as many as help, and keeps the best; the rounds' distances."""
    plateau = pretraining.spec.plateau
    if plateau.rounds == 1:
        pretraining.train(1, RESULT)
        return []
    found: list[dict[str, Any]] = []
    for number in range(1, plateau.rounds + 1):
        artifact = round_artifact(number)
        pretraining.train(number, artifact)
        if main:
            measure_round(pretraining.context, pretraining.spec, artifact)
        pretraining.context.accelerator.wait_for_everyone()
        distances = read_json(pretraining.store.path / f"{artifact}.json")["distances"]
        found.append(compare_rounds(found, distances, plateau))
        if not found[-1]["helped"]:
            break
    kept = len(found) if found[-1]["helped"] else len(found) - 1
    if main:
        _keep(pretraining.store, round_artifact(kept))
    return found


def _keep(store: RunStore, artifact: str) -> None:
    made_from = {"round": artifact, "sha256": store.digest_of(artifact)}
    if store.is_complete(RESULT, made_from):
        return
    with atomic_path(store.path / RESULT) as partial:
        shutil.copytree(store.path / artifact, partial)
    store.complete(RESULT, made_from)


def copy_result(result: Path, target: Path) -> None:
    """Copies the trained pipeline to a place of its own, which a recipe can name.

    Raises:
        StorageError: something else is there.

    """
    if target.exists():
        if hash_tree(target) == hash_tree(result):
            return
        raise StorageError(
            f"{target} exists and is not this pipeline", fix="remove it, or choose another --to"
        )
    with atomic_path(target) as partial:
        shutil.copytree(result, partial)


def _augmentation(data: DataConfig) -> dict[str, bool]:
    return {"random_flip": data.random_flip, "center_crop": data.center_crop}
