"""What merge methods such as Fisher's and RegMean's need to know of a run's experts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...merge.methods import get_merge_method
from ...merge.methods.registry import Statistics
from ...merge.statistics import (
    ExpertStatistics,
    collect_statistics,
    read_statistics,
    write_statistics,
)
from ..context import RunContext

SAMPLES = 512
"""Draws of image, timestep and noise for each expert."""
SEED = 0
"""What the draws derive from; the same in every run, so that numbers of different runs compare."""


def statistics_kind(context: RunContext) -> Statistics | None:
    """What the run's merge method needs of each expert; None where it needs nothing."""
    return get_merge_method(context.spec.search.merge_method).statistics


def statistics_from(context: RunContext) -> dict[str, Any]:
    """What decides the statistics beside experts and images; empty where none are needed."""
    kind = statistics_kind(context)
    return {} if kind is None else {"statistics": {"kind": kind, "samples": SAMPLES, "seed": SEED}}


def require_possible_statistics(context: RunContext) -> None:
    """Checks that what the method needs can be measured of what is merged.

    Raises:
        ConfigError: a method with statistics, and snapshots or block projections.

    """
    if statistics_kind(context) is None:
        return
    method = context.spec.search.merge_method
    if context.spec.search.snapshots:
        raise ConfigError(
            f"{method} needs statistics of each expert, which are of its finished weights",
            fix="leave search.snapshots out, or choose another search.merge_method",
        )
    if context.spec.decouple.projection == "block":
        raise ConfigError(
            f"{method} needs statistics of each expert, and projections that stay have none",
            fix="set decouple.projection to foldable or none",
        )


def statistics_artifact(kind: Statistics, expert: str) -> str:
    """Where an expert's statistics are, in the run's folder."""
    return str(Path("statistics") / kind / f"{expert}.safetensors")


def measure_experts(context: RunContext) -> None:
    """Collects what the merge method needs of the experts; does nothing where it is there."""
    if statistics_kind(context) is not None:
        list(context.workers.map(measure_expert, range(len(context.experts))))


def measure_expert(context: RunContext, index: int) -> bool:
    """Collects one finished expert's statistics at the timesteps that it owns."""
    kind = statistics_kind(context)
    if kind is None:
        return False
    expert = context.experts[index]
    made_from = {
        **statistics_from(context),
        "expert": context.store.digest_of(f"experts/{expert.name}"),
        "range": [expert.timesteps.low, expert.timesteps.high],
        "data": context.source.digest,
    }
    artifact = statistics_artifact(kind, expert.name)
    if context.store.is_complete(artifact, made_from):
        return False
    with context.reporter.bar(f"{kind} {expert.name}", SAMPLES) as bar:
        found = collect_statistics(
            context.load_pipeline(context.expert_folder(expert)),
            context.source,
            expert.timesteps,
            kind=kind,
            samples=SAMPLES,
            seed=SEED,
            progress=bar.at,
        )
    write_statistics(found, context.store.path / artifact)
    context.store.complete(artifact, made_from)
    return True


def expert_statistics(context: RunContext) -> list[ExpertStatistics]:
    """The statistics of all experts, read when they are asked for; none where none are needed.

    Raises:
        StorageError: they have not been collected, or cannot be read.

    """
    kind = statistics_kind(context)
    if kind is None:
        return []
    paths = [statistics_artifact(kind, expert.name) for expert in context.experts]
    return [read_statistics(context.store.path / path, kind=kind) for path in paths]
