import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from deme.analysis import draw_prediction, prediction, rank_correlation
from deme.analysis.prediction import root_mean_square
from report.fake_search import search


def test_ranks_correlate_as_scipy_says_ties_included() -> None:
    draws = np.random.default_rng(0)
    for _ in range(5):
        a, b = draws.integers(0, 6, (2, 25)).astype(float).tolist()
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0], abs=1e-12)


def test_what_does_not_vary_has_no_rank_correlation() -> None:
    assert np.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


def test_the_stored_pairs_and_numbers_are_shown_as_they_are() -> None:
    given = search(["a", "b"], [0.6, -0.2])
    data = prediction(given)
    assert data is not None
    pairs = given["landscape"]["prediction"]["pairs"]
    assert [list(pair) for pair in zip(data.predicted, data.measured, strict=True)] == pairs
    assert (data.rank_correlation, data.rmse) == (0.971, 0.52)


def test_without_stored_pairs_the_notes_of_the_evaluations_count() -> None:
    given = search(["a", "b"], [0.6, -0.2], "pareto")
    data = prediction(given)
    noted = [item for item in given["evaluations"] if item["notes"]]
    assert data is not None
    assert data.predicted == tuple(item["notes"]["predicted"] for item in noted)
    assert data.measured == tuple(item["value"] for item in noted)
    assert data.rmse == pytest.approx(root_mean_square(data.predicted, data.measured))
    assert data.rmse == pytest.approx(
        float(np.sqrt(np.mean((np.array(data.predicted) - np.array(data.measured)) ** 2)))
    )


def test_a_rank_correlation_that_is_not_known_is_computed() -> None:
    given = search(["a", "b"], [0.6, -0.2])
    given["landscape"]["prediction"]["rank_correlation"] = None
    data = prediction(given)
    assert data is not None
    assert data.rank_correlation == pytest.approx(spearmanr(data.predicted, data.measured)[0])


def test_fewer_than_three_predictions_are_no_figure() -> None:
    given = search(["a", "b"], [0.6, -0.2], "older")
    assert prediction(given) is None
    given["landscape"] = {"prediction": {"pairs": [[1, 2], [3, float("inf")], [3, 4]]}}
    assert prediction(given) is None


def test_predictions_far_off_stay_at_the_frame() -> None:
    given = search(["a", "b"], [0.6, -0.2])
    given["landscape"]["prediction"]["pairs"] += [[-5000.0, 30.0], [9000.0, 30.0]]
    data = prediction(given)
    assert data is not None
    axes = Figure().subplots()
    draw_prediction(axes, data)
    assert axes.get_xlim() == axes.get_ylim()
    low, high = axes.get_ylim()
    assert min(data.measured) > low
    assert max(data.measured) < high < 9000
