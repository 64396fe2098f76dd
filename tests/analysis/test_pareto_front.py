from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_pareto_front, pareto_front, pareto_pairs
from report.fake_search import search


def record() -> dict[str, Any]:
    return search(["a", "b"], [0.6, -0.2], "pareto")


def test_the_front_the_candidates_and_the_chosen_one_are_the_records() -> None:
    given = record()
    data = pareto_front(given)
    assert data is not None
    assert data.objectives == ("frechet", "clip_score")
    assert [list(values) for values in data.front] == [item["values"] for item in given["pareto"]]
    assert len(data.candidates) == len(given["evaluations"])
    assert data.chosen is not None
    assert data.chosen[0] == given["value"]


def test_objectives_without_names_are_numbered() -> None:
    data = pareto_front({**record(), "objectives": None})
    assert data is not None
    assert data.objectives == ("objective 1", "objective 2")


@pytest.mark.parametrize("pareto", [None, [], [{"point": [0.6, -0.2], "values": [1.0]}]])
def test_one_objective_has_no_front(pareto: Any) -> None:
    assert pareto_front({**record(), "pareto": pareto}) is None


@pytest.mark.parametrize(("count", "panels"), [(2, 1), (3, 3), (6, 6)])
def test_every_pair_of_objectives_has_a_panel(count: int, panels: int) -> None:
    given = record()
    for item in (*given["evaluations"], *given["pareto"]):
        item["values"] = [item["values"][i % 2] for i in range(count)]
    data = pareto_front({**given, "objectives": []})
    assert data is not None
    figure = Figure((6, 4), layout="constrained")
    draw_pareto_front(figure, data)
    figure.draw_without_rendering()
    assert len(figure.axes) == len(pareto_pairs(data)) == panels
