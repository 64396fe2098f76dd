"""What arms have in common that search weights for finished models, as `deme search` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...config import parse_config
from ...decouple import DecoupleConfig
from ...errors import ConfigError
from ...files import read_json
from ...merge.bound_method import BoundMethod
from ...merge.methods import get_merge_method
from ...runs.context import RunContext
from ...runs.spec import ExternalExpert, RunSpec
from ...runs.stages.statistics import measure_expert
from ...runs.stages.train import train_one
from ...search import SearchConfig
from ..contender import Contender, Cost
from ..models import PipelineModel
from ..tasks import SearchTask, Task, sibling
from .contract import Bench

SHARES = (0.0, 1.0)
"""Bounds of weights for methods that take means: only ratios count, and none is negative."""


@dataclass(frozen=True)
class MeasureTask:
    """What a merge method needs to know of one of a search's models.

    Attributes:
        spec: the search's run, as JSON.
        index: which of its models.

    """

    spec: str
    index: int

    def run(self, context: RunContext) -> bool:
        """Takes the model into the run and measures it, or finds that done."""
        other = sibling(context, RunSpec.model_validate_json(self.spec))
        other.store.prepare()
        train_one(other, self.index, wait=True)
        return measure_expert(other, self.index)


def require_search(overrides: Mapping[str, Any]) -> None:
    """Checks the names in what an arm says of its search, before anything is trained for it.

    Raises:
        ValueError: an unknown key, merge method or parameter.

    """
    known = sorted(set(SearchConfig.model_fields) - {"snapshots"})  # finished models have none
    for key in overrides:
        if key not in known:
            raise ValueError(f"unknown key {key}; keys here: {', '.join(known)}")
    if "merge_method" in overrides:
        parameters = dict(overrides.get("parameters") or {})
        try:
            BoundMethod.with_weights(overrides["merge_method"], (), parameters)
        except ConfigError as error:
            raise ValueError(str(error)) from None


def search_spec(
    bench: Bench, seed: int, models: Sequence[ExternalExpert], overrides: Mapping[str, Any]
) -> RunSpec:
    """The run that searches weights for models which other runs made.

    Args:
        bench: what the comparison gives.
        seed: of their training.
        models: their folders and the timesteps that each owns.
        overrides: what differs from the base run's ``search``. Another merge method has none of
            the base run's parameters; where it needs statistics it takes means, and its bounds
            are [0, 1] unless they are among these.

    Raises:
        ConfigError: values that are not valid together.

    """
    base = bench.context.spec
    values = {**base.search.model_dump(mode="json"), "snapshots": False}
    if "merge_method" in overrides:
        values["parameters"] = {}
        if get_merge_method(overrides["merge_method"]).statistics is not None:
            values["bounds"] = SHARES
    values |= overrides
    return RunSpec(
        name="merge",
        model=base.model,
        data=base.data,
        detector=base.detector,
        seed=seed,
        decouple=DecoupleConfig(steps=0),
        experts=list(models),
        search=parse_config(SearchConfig, values),
        evaluate=base.evaluate,
    )


def search_phases(spec: RunSpec) -> list[list[Task]]:
    """Statistics of each model where the merge method needs them; then the search."""
    text, models = spec.model_dump_json(), range(len(spec.experts or ()))
    search: list[Task] = [SearchTask(text)]
    if get_merge_method(spec.search.merge_method).statistics is None:
        return [search]
    return [[MeasureTask(text, index) for index in models], search]


def search_result(bench: Bench, spec: RunSpec) -> dict[str, Any]:
    """What a finished search found; see :func:`~deme.runs.stages.search_record.search_record`."""
    return read_json(sibling(bench.context, spec).store.path / "search" / "result.json")


def searched_contender(
    bench: Bench, spec: RunSpec, trained: Cost, facts: Mapping[str, Any]
) -> Contender:
    """The merged pipeline of a finished search.

    Args:
        bench: what the comparison gives.
        spec: the run that searched.
        trained: what the models took.
        facts: what a reader should know, beside the number of candidates.

    """
    run, found = sibling(bench.context, spec), search_result(bench, spec)
    drawn = round(found["cost"] * found["images"])
    model = PipelineModel(run.store.path / "merged", run.store.digest_of("merged"))
    return Contender(
        model,
        replace(trained, search_images=drawn),
        facts={**facts, "candidates": len(found["evaluations"])},
    )
