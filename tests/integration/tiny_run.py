"""A whole run, tiny: every stage on the bundled digits in a few seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from deme.errors import ConfigError
from deme.report import build_report, write_model_card
from deme.runs import RunContext, RunStore, load_spec, run_job
from deme.runs.progress import Reporter

TINY = (
    "decouple.steps=6",
    "decouple.batch_size=16",
    "search.images=48",
    "search.evaluations=4",
    "search.sampler_steps=3",
    "search.sample_batch_size=48",
    "evaluate.images=48",
    "evaluate.seeds=[1, 2, 3]",
    "evaluate.sampler_steps=3",
    "evaluate.sample_batch_size=48",
    "runtime.checkpointing_steps=2",
    "runtime.threads=1",
    "runtime.workers=1",
)
"""Overrides of the digits recipe under which the whole job takes seconds."""


def context_of(output: Path, *overrides: str, recipe: str = "digits") -> RunContext:
    """A run's context, quiet."""
    spec = load_spec(recipe, [*TINY, *overrides])
    return RunContext(spec, RunStore(output, spec), Reporter(quiet=True))


def run_tiny(output: Path) -> None:
    """The whole job, as ``deme run`` does it."""
    torch.set_num_threads(1)
    context = context_of(output)
    run_job(context)
    write_model_card(context.store.path)
    build_report(context.store.path)


# tasks for workers, which import them by this module's name


def double(context: RunContext, number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def refuse(context: RunContext, number: int) -> int:
    raise ConfigError(f"not {number}", choices=["1", "2"], given="3")


def arguments(*overrides: str) -> list[str]:
    """The same overrides for the command line."""
    return [part for override in (*TINY, *overrides) for part in ("--set", override)]


def deme_process(*words: str) -> subprocess.Popen[str]:
    """``deme`` in a process of its own, one thread, no network."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "deme", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # a test runner in the background ignores Ctrl-C and would hand that down
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
