"""The comparison everybody would make: one model finetuned on all timesteps at equal budget."""

from __future__ import annotations

import shutil
from typing import Any

from ...decouple import TimestepRange, TimestepSampler, TrainingJob
from ...decouple.config import TrainingConfig
from ...files import atomic_path, hash_value, read_json, write_json
from ..context import RunContext
from .sampling import draw_features, search_request
from .training import train_to_folder


def joint_config(context: RunContext, learning_rate: float) -> TrainingConfig:
    """The experts' own training configuration, for N times as many steps."""
    shared = context.spec.decouple.model_dump(include=set(TrainingConfig.model_fields))
    shared["steps"] *= len(context.partition)
    shared["learning_rate"] = learning_rate
    return TrainingConfig.model_validate(shared)


def joint_rates(context: RunContext) -> list[float]:
    """The rates of the joint trials; none where the comparison is switched off."""
    joint = context.spec.joint
    if not joint.enabled or "joint" not in context.spec.evaluate.arms:
        return []
    return list(joint.learning_rates or [context.spec.decouple.learning_rate])


def choose_joint(context: RunContext) -> bool:
    """Keeps the trial that is best on the search's noise, as the merging weights are chosen.

    Each trial has the experts' whole budget; so if anything the comparison is generous to it.
    """
    rates = joint_rates(context)
    if not rates:
        return False
    digests = [context.store.digest_of(trial_artifact(rate)) for rate in rates]
    made_from: dict[str, Any] = {"trials": digests, "rates": rates}
    if len(rates) > 1:
        made_from["search"] = hash_value(context.spec.search.model_dump(mode="json"))
        made_from["reference"] = context.source.digest
        made_from["detector"] = context.detectors[0].digest
    if context.store.is_complete("joint", made_from):
        return False
    values = _trial_values(context, rates) if len(rates) > 1 else dict.fromkeys(rates, 0.0)
    best = min(values, key=lambda rate: values[rate])
    with atomic_path(context.store.path / "joint") as partial:
        shutil.copytree(context.store.path / trial_artifact(best), partial)
        record = read_json(partial / "training.json")
        if len(rates) > 1:
            record["trials"] = [
                {"learning_rate": rate, "search_value": value} for rate, value in values.items()
            ]
        write_json(partial / "training.json", record)
    context.store.complete("joint", made_from)
    return True


def trial_artifact(rate: float) -> str:
    """Where a trial's pipeline is."""
    return f"joint-trials/{rate:g}"


def train_trial(context: RunContext, rate: float) -> bool:
    """Finetunes one model on all timesteps at one rate, unless it is there already."""
    config = joint_config(context, rate)
    total = context.denoiser.schedule.num_timesteps
    made_from = {
        "base": context.base_digest,
        "data": context.source.digest,
        "training": config.model_dump(mode="json"),
        "antithetic": context.spec.decouple.antithetic,
        "seed": context.spec.seed,
    }
    job = TrainingJob(
        name=trial_artifact(rate),
        pretrained=context.denoiser,
        source=context.source,
        timesteps=TimestepSampler(
            TimestepRange(0, total), total, 0.0, antithetic=context.spec.decouple.antithetic
        ),
        config=config,
        placement="none",
        teacher=None,
        consistency=0.0,
        seed=context.spec.seed,
    )
    title = f"joint at {rate:g}" if len(joint_rates(context)) > 1 else "joint finetuning"
    with context.store.lock(f"joint-{rate:g}"):
        return train_to_folder(context, job, trial_artifact(rate), made_from, title)


def _trial_values(context: RunContext, rates: list[float]) -> dict[float, float]:
    detector = context.detectors[0]
    reference = context.references[detector.name]
    values: dict[float, float] = {}
    for rate in rates:
        denoiser = context.load_pipeline(context.store.path / trial_artifact(rate))
        features = draw_features(denoiser, search_request(context), [detector])[detector.name]
        values[rate] = reference.search_distance(features)
    return values
