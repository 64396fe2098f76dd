"""Search: merging weights for the finished experts, candidates evaluated on common noise."""

from __future__ import annotations

from typing import Any

from ...files import hash_value, write_json
from ...search import (
    Measurement,
    Proposal,
    SearchResult,
    Study,
    measure,
    search_weights,
)
from ..context import RunContext
from .search_bench import (
    features_from,
    make_search_strategy,
    search_bench,
    search_protocol,
    search_space,
)
from .search_record import search_record
from .statistics import measure_experts

RESULT = "search/result.json"
STUDY = "search/study.db"


def search_inputs(context: RunContext) -> dict[str, Any]:
    """What decides the search's result."""
    reference = context.references[context.detectors[0].name]
    return {
        **features_from(context),
        "search": context.spec.search.model_dump(mode="json"),
        "reference": reference.protocol(reference.split[1]).reference_digest,
    }


def find_weights(context: RunContext) -> bool:
    """Searches, resuming from the study; writes ``search/result.json``."""
    made_from = search_inputs(context)
    if context.store.is_complete(RESULT, made_from):
        return False
    context.references[context.detectors[0].name].prepare()
    measure_experts(context)
    config = context.spec.search
    bench = search_bench(context, config.seed)
    strategy = make_search_strategy(context, bench.objectives[0])
    study = _study(context, made_from)
    anchors = list(bench.space.anchors().values())
    with context.reporter.bar("search", strategy.expected_evaluations() + len(anchors)) as bar:
        result = search_weights(
            strategy,
            lambda proposals: context.workers.map(measure_candidate, proposals),
            study=study,
            sets=bench.sets,
            images=config.images,
            anchors=anchors,
            box=bench.space.box,
            on_progress=lambda done, total, best: bar.at(
                round(done), f"best {best:.4g}", round(total)
            ),
        )
        found = round(result.cost)  # fewer than expected where a strategy ends early
        bar.at(found, f"best {result.best.value:.4g}", max(found, 1))
    fresh = _on_fresh_noise(context, result)
    write_json(context.store.path / RESULT, search_record(context, bench, result, fresh))
    context.store.complete(RESULT, made_from)
    return True


def measure_candidate(context: RunContext, proposal: Proposal) -> Measurement:
    """A candidate's values on the search's noise; its features stay in the run's folder."""
    return _measured(context, proposal, context.spec.search.seed)


def measure_fresh(context: RunContext, proposal: Proposal) -> Measurement:
    """The same on noise that the search never saw."""
    return _measured(context, proposal, context.spec.search.fresh_seed)


def _measured(context: RunContext, proposal: Proposal, seed: int) -> Measurement:
    bench = search_bench(context, seed)
    return measure(
        proposal,
        bench.sets,
        lambda rows: bench.evaluator.tables(proposal.candidate, rows),
        bench.objectives,
    )


def _on_fresh_noise(context: RunContext, result: SearchResult) -> dict[str, float]:
    """Values of the winner and of the pretrained model on the fresh seed."""
    config = context.spec.search
    wanted = {
        "value": result.best.candidate,
        "pretrained": search_space(context).anchors()["pretrained"],
    }
    candidates = list(dict.fromkeys(wanted.values()))  # two workers must not write one set
    search_bench(context, config.fresh_seed).sets.prepare()
    proposals = [Proposal(candidate, config.images) for candidate in candidates]
    found = context.workers.map(measure_fresh, proposals)
    values = {c: item.values[0] for c, item in zip(candidates, found, strict=True)}
    return {name: values[candidate] for name, candidate in wanted.items()}


def _study(context: RunContext, made_from: dict[str, Any]) -> Study:
    bench = search_bench(context, context.spec.search.seed)
    return Study(
        context.store.path / STUDY,
        hash_value(made_from),
        objectives=[objective.name for objective in bench.objectives],
        axes={axis.name: (axis.low, axis.high) for axis in bench.space.axes},
        protocol=search_protocol(context),
    )
