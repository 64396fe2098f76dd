"""Search: merging weights from images of common noise."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from ...files import hash_value, write_json
from ...merge import InPlaceMerger
from ...search import (
    Candidate,
    FrechetObjective,
    Journal,
    MergeEvaluator,
    SearchResult,
    make_strategy,
)
from ...search import search_weights as run_search
from ..context import RunContext
from .sampling import search_request


def search_inputs(context: RunContext) -> dict[str, Any]:
    """What decides the search's result."""
    reference = context.references[context.detectors[0].name]
    return {
        "base": context.base_digest,
        "experts": [context.store.digest_of(f"experts/{e.name}") for e in context.experts],
        "search": context.spec.search.model_dump(mode="json"),
        "detector": context.detectors[0].digest,
        "reference": reference.protocol(reference.split[1]).reference_digest,
    }


def find_weights(context: RunContext) -> bool:
    """Searches, resuming from the journal; writes ``search/result.json``."""
    made_from = search_inputs(context)
    artifact = "search/result.json"
    if context.store.is_complete(artifact, made_from):
        return False
    context.references[context.detectors[0].name].prepare()
    count = len(context.experts)
    strategy = make_strategy(context.spec.search, count)
    journal = Journal(context.store.path / "search" / "journal.jsonl", hash_value(made_from))
    with context.reporter.bar("search", strategy.expected_evaluations()) as bar:
        result = run_search(
            strategy,
            partial(candidate_value, context),
            journal,
            anchors=anchors(count),
            mapper=lambda _, candidates: context.workers.map(candidate_value, candidates),
            on_progress=lambda done, total, best: bar.at(done, f"best {best:.4g}", total),
        )
        found = len(result.evaluations)  # fewer than expected where grids overlap
        bar.at(found, f"best {result.value:.4g}", found)
    write_json(context.store.path / artifact, _record(context, result))
    context.store.complete(artifact, made_from)
    return True


def _record(context: RunContext, result: SearchResult) -> dict[str, Any]:
    """What ``search/result.json`` says."""
    config = context.spec.search
    reference = context.references[context.detectors[0].name]
    return {
        "experts": [expert.name for expert in context.experts],
        "weights": list(result.best),
        "value": result.value,
        "evaluations": [
            {"weights": list(weights), "value": value} for weights, value in result.evaluations
        ],
        "bounds": list(config.bounds),
        "objective": config.objective,
        "images": config.images,
        "protocol": f"{reference.protocol(reference.split[1]).describe()} · "
        f"{config.images} generated images · {config.describe()} · seed {config.seed}",
    }


def candidate_value(context: RunContext, weights: Candidate) -> float:
    """The objective's value of the merge with these weights."""
    evaluator, objective = _bench(context)
    return objective(evaluator.features(weights))


@cache
def _bench(context: RunContext) -> tuple[MergeEvaluator, FrechetObjective]:
    """What every candidate is evaluated with: one network that is switched in place."""
    detector = context.detectors[0]
    merger = InPlaceMerger(context.denoiser.clone(), context.base, context.task_vectors)
    evaluator = MergeEvaluator(merger, search_request(context), detector)
    return evaluator, FrechetObjective(context.references[detector.name].search)


def anchors(count: int) -> list[Candidate]:
    """Always evaluated: the pretrained model, each expert, the uniform merge."""
    zero = (0.0,) * count
    one_hot = [tuple(float(i == j) for i in range(count)) for j in range(count)]
    uniform = (round(1 / count, 10),) * count
    return list(dict.fromkeys([zero, *one_hot, uniform]))
