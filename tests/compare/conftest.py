"""Tiny comparisons on the bundled digits; all of a session share one folder, and so trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deme.compare.comparison import Comparison, levels
from deme.compare.drawing import ImageSet
from deme.compare.job import open_comparison
from deme.compare.models import ComparedModel
from deme.compare.spec import CompareSpec
from deme.config import parse_config
from deme.generate import SamplerConfig
from deme.runs import RunStore
from deme.runs.overrides import apply_override
from deme.runs.progress import Reporter
from deme.runs.recipes import load_values

TINY = (
    "decouple.steps=2",
    "decouple.ranges=2",
    "decouple.batch_size=4",
    "search.images=24",
    "search.evaluations=2",
    "search.sampler_steps=2",
    "search.sample_batch_size=24",
    "evaluate.images=16",
    "evaluate.seeds=[1]",
    "evaluate.sampler_steps=2",
    "evaluate.sample_batch_size=16",
    "runtime.threads=1",
    "runtime.workers=1",
)
"""Overrides of the digits recipe under which an arm takes a second."""


@pytest.fixture(scope="session")
def comparisons_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny comparisons of a session are; tests must not change what is there."""
    return tmp_path_factory.mktemp("comparisons")


@pytest.fixture
def make_comparison(comparisons_folder: Path) -> Callable[..., Comparison]:
    """``make_comparison(arms, seeds=…, rates=…, averages=…)``: all its arms are made."""

    def make(
        arms: dict[str, dict[str, Any]],
        *,
        seeds: tuple[int, ...] = (0,),
        rates: tuple[float, ...] = (1e-3,),
        averages: tuple[float, ...] = (),
    ) -> Comparison:
        torch.set_num_threads(1)
        comparison = tiny_comparison(
            comparisons_folder, arms, seeds=seeds, rates=rates, averages=averages
        )
        for names in levels(comparison.spec.arms):
            comparison.make(names)
        return comparison

    return make


def tiny_comparison(
    folder: Path,
    arms: dict[str, dict[str, Any]],
    *,
    seeds: tuple[int, ...] = (0,),
    rates: tuple[float, ...] = (1e-3,),
    averages: tuple[float, ...] = (),
) -> Comparison:
    """A comparison of which nothing is made yet; its reference is the first arm."""
    run = load_values("digits")
    for override in TINY:
        apply_override(run, override)
    values = {
        "run": run,
        "seeds": seeds,
        "trials": {"learning_rates": rates, "averages": averages},
        "reference": next(iter(arms)),
        "arms": arms,
    }
    spec = parse_config(CompareSpec, values)
    comparison = open_comparison(spec, RunStore(folder, spec.run), Reporter(quiet=True))
    comparison.context.store.prepare()
    return comparison


def search_distance(comparison: Comparison, model: ComparedModel) -> float:
    """A model's distance on the search's noise, drawn as arms are tuned."""
    context, config = comparison.context, comparison.spec.run.search
    sampler = SamplerConfig(**config.model_dump(include=set(SamplerConfig.model_fields)))
    images = ImageSet(model, sampler, config.seed, config.images, judged=False)
    for task in images.tasks():
        task.run(context)
    detector = context.detectors[0].name
    return context.references[detector].search_distance(images.tables(context)[detector])
