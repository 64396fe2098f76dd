"""The main job: all stages in order. Each is idempotent, so the same command resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import ConfigError
from ..files import read_json, write_json
from .context import RunContext
from .environment import describe_environment
from .measured_tables import require_measurable
from .stages.evaluate import evaluate
from .stages.merge import write_merged
from .stages.search import find_weights
from .stages.search_check import require_possible_search
from .stages.train import train_all, train_experts
from .stages.validate import validate

STAGES: dict[str, Callable[[RunContext], bool]] = {
    "experts": train_experts,
    "training": train_all,
    "search": find_weights,
    "merge": write_merged,
    "validation": validate,
    "evaluate": evaluate,
}
"""In the order in which they run. Each returns whether there was anything to do."""
WHOLE = tuple(name for name in STAGES if name != "experts")
"""The main job; ``training`` is the experts and the joint comparison side by side."""


def run_job(
    context: RunContext, stages: Sequence[str] | None = None, *, wait: bool = False
) -> None:
    """Runs the stages of a run, taking the run's lock.

    Args:
        context: the run.
        stages: names among :data:`STAGES`; None: the whole job.
        wait: for another process that works on this run, and do not refuse.

    Raises:
        RunLockedError: another process works on this run.
        ConfigError: a stage's name is unknown, or several processes were launched.

    """
    if context.accelerator.num_processes > 1:
        raise ConfigError(
            f"{context.accelerator.num_processes} processes were launched for the whole job",
            fix="train experts with `accelerate launch -m deme decouple …`, then run the rest "
            "with `deme run …` in one process: it finds them done",
        )
    chosen = list(WHOLE) if stages is None else list(stages)
    for name in chosen:
        if name not in STAGES:
            raise ConfigError(f"Unknown stage {name!r}", choices=STAGES, given=name)
    store = context.store
    store.prepare()
    with store.lock(wait=wait):
        store.sweep()
        write_json(store.path / "environment.json", describe_environment(context))
        if "search" in chosen:
            require_possible_search(context)
        if "evaluate" in chosen:
            require_measurable(context.detectors, context.spec.evaluate.metrics)
        try:
            for name in chosen:
                started = time.perf_counter()
                worked = STAGES[name](context)
                _note_time(context, name, time.perf_counter() - started, worked)
        finally:
            context.workers.close()


def _note_time(context: RunContext, name: str, seconds: float, worked: bool) -> None:
    """What each stage took; a stage that found its work done keeps the time it took before."""
    path = context.store.path / "timings.json"
    stages = read_json(path)["stages"] if path.is_file() else []
    known = {entry["name"]: entry for entry in stages}
    if worked or name not in known:
        before = known.get(name, {}).get("seconds", 0.0)
        resumed = name in known
        known[name] = {"name": name, "seconds": before + seconds, "resumed": resumed}
        write_json(path, {"stages": list(known.values())})
