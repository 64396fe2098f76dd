"""What the search stage says of a search, without models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deme.runs import RunContext
from deme.runs.stages import search, search_record
from deme.search import Candidate, Evaluation, Measurement, MergeSpace, Proposal, SearchResult

SPACE = MergeSpace(("early", "late"), (-1.0, 2.0))
ZERO = SPACE.anchors()["pretrained"]


def result(best: Evaluation, *others: Evaluation) -> SearchResult:
    every = (best, *others)
    return SearchResult(best, every, (1.0,) * len(every), ())


def test_anchors_have_their_value_on_the_most_images() -> None:
    """Successive halving draws them in full, and on its first rung afterwards."""
    found = result(
        Evaluation((0.3, 0.4), 2000, (1.0,)),
        Evaluation(ZERO, 2000, (2.0,)),
        Evaluation(ZERO, 500, (9.0,)),
    )
    [anchor] = search_record._anchors(SPACE, found)
    assert (anchor["name"], anchor["value"]) == ("pretrained", 2.0)


def test_a_pretrained_model_without_a_value_has_no_noise_to_compare_with() -> None:
    bench = cast(Any, SimpleNamespace(space=SPACE))
    found = result(Evaluation((0.3, 0.4), 2000, (1.0,)), Evaluation(ZERO, 2000, (float("inf"),)))
    assert search_record._noise(bench, found) is None


@pytest.mark.parametrize(("winner", "sets"), [(ZERO, 1), ((0.3, 0.4), 2)])
def test_the_winner_and_the_pretrained_model_are_drawn_anew_once_each(
    winner: Candidate, sets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Proposal] = []

    def measured(
        task: Callable[..., Measurement], proposals: Sequence[Proposal]
    ) -> Iterator[Measurement]:
        assert task is search.measure_fresh
        drawn.extend(proposals)
        return (Measurement((sum(proposal.candidate),), 0.0) for proposal in proposals)

    context = SimpleNamespace(
        spec=SimpleNamespace(search=SimpleNamespace(images=7, fresh_seed=3)),
        workers=SimpleNamespace(map=measured),
    )
    bench = SimpleNamespace(sets=SimpleNamespace(prepare=lambda: None))
    monkeypatch.setattr(search, "search_space", lambda _: SPACE)
    monkeypatch.setattr(search, "search_bench", lambda _, seed: bench)
    found = search._on_fresh_noise(cast(RunContext, context), result(Evaluation(winner, 7, (1.0,))))
    assert found == {"value": sum(winner), "pretrained": 0.0}
    assert len(drawn) == sets
