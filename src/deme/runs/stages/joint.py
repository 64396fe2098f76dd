"""The comparison everybody would make: one model finetuned on all timesteps at equal budget."""

from __future__ import annotations

import shutil

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


def train_joint(context: RunContext) -> bool:
    """Finetunes at each rate of ``joint.learning_rates``, keeps the best on the search's noise.

    Each trial has the experts' whole budget; so if anything the comparison is generous to it.
    """
    if not context.spec.joint.enabled or "joint" not in context.spec.evaluate.arms:
        return False
    own = context.spec.decouple.learning_rate
    rates = context.spec.joint.learning_rates or [own]
    digests = [_train(context, rate, f"joint-trials/{rate:g}", len(rates)) for rate in rates]
    made_from = {"trials": digests, "rates": rates}
    if len(rates) > 1:
        made_from["search"] = hash_value(context.spec.search.model_dump(mode="json"))
        made_from["reference"] = context.references[context.detectors[0].name].source.digest
        made_from["detector"] = context.detectors[0].digest
    if context.store.is_complete("joint", made_from):
        return False
    values = _trial_values(context, rates) if len(rates) > 1 else {rates[0]: None}
    best = min(values, key=lambda rate: values[rate] or 0.0)
    with atomic_path(context.store.path / "joint") as partial:
        shutil.copytree(context.store.path / f"joint-trials/{best:g}", partial)
        record = read_json(partial / "training.json")
        record["trials"] = [
            {"learning_rate": rate, "search_value": value} for rate, value in values.items()
        ]
        write_json(partial / "training.json", record)
    context.store.complete("joint", made_from)
    return True


def _train(context: RunContext, rate: float, artifact: str, trials: int) -> str:
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
        name=artifact,
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
    title = "joint finetuning" + (f" at {rate:g}" if trials > 1 else "")
    train_to_folder(context, job, artifact, made_from, title)
    return context.store.digest_of(artifact)


def _trial_values(context: RunContext, rates: list[float]) -> dict[float, float | None]:
    detector = context.detectors[0]
    reference = context.references[detector.name]
    values: dict[float, float | None] = {}
    for rate in rates:
        denoiser = context.load_pipeline(context.store.path / f"joint-trials/{rate:g}")
        features = draw_features(denoiser, search_request(context), [detector])[detector.name]
        values[rate] = reference.search_distance(features)
    return values
