"""Model soups: which ingredients are kept, and that the soup is their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from compare.conftest import search_distance, tiny_comparison
from deme.compare.arms.soup import greedy_soup
from deme.compare.comparison import Comparison
from deme.compare.contender import Setting
from deme.compare.models import CombinedModel
from deme.errors import ConfigError

Make = Callable[..., Comparison]
RATES = (1e-3, 1e-4)
ARMS = {
    "plain": {"kind": "finetune"},
    "uniform": {"kind": "soup", "of": "plain", "how": "uniform"},
    "greedy": {"kind": "soup", "of": "plain"},
}


def off_target(points: Sequence[float], target: float) -> Callable[[Sequence[int]], float]:
    """A soup's value: how far the mean of its numbers is from a target."""
    return lambda kept: abs(sum(points[index] for index in kept) / len(kept) - target)


def test_greedy_keeps_exactly_the_ingredients_that_improve() -> None:
    points = (2.0, -1.0, 8.0, -3.0, -2.5)
    value_of = off_target(points, 0.0)
    found = greedy_soup([value_of((index,)) for index in range(5)], value_of)
    # −1; with 2 the mean is 0.5; with −2.5 it is −0.5, as near; −3 and 8 take it further away
    assert found.kept == (1, 0, 4)
    assert found.value == 0.5 and found.tried == 4


def test_greedy_passes_over_what_makes_it_worse_and_goes_on() -> None:
    points = (1.0, 3.0, -4.0)
    value_of = off_target(points, 0.0)
    found = greedy_soup([value_of((index,)) for index in range(3)], value_of)
    assert found.kept == (0,) and found.value == 1.0  # means 2 and −1.5 are worse than 1
    points = (1.0, 3.0, -3.0)
    value_of = off_target(points, 0.0)
    found = greedy_soup([value_of((index,)) for index in range(3)], value_of)
    assert found.kept == (0, 2) and found.value == 1.0  # as near as before counts


def test_greedy_never_ends_worse_than_its_best_ingredient() -> None:
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        points = torch.randn(6, generator=draws).tolist()
        value_of = off_target(points, 0.3)
        values = [value_of((index,)) for index in range(6)]
        found = greedy_soup(values, value_of)
        assert found.value <= min(values) and found.value == pytest.approx(value_of(found.kept))


def test_a_uniform_soup_is_the_mean_of_the_weights(make_comparison: Make) -> None:
    comparison = make_comparison(ARMS, rates=RATES)
    context = comparison.context
    soup = comparison.contender("uniform", 0)
    models = [comparison.contender("plain", 0, Setting(rate)).model for rate in RATES]
    weights = [model.open(context).weights() for model in models]
    for name, tensor in soup.model.open(context).weights().items():
        mean = torch.stack([own[name].double() for own in weights]).mean(0)
        torch.testing.assert_close(tensor.double(), mean, rtol=0, atol=1e-6)
    assert soup.facts["learning_rates"] == list(RATES)


def test_a_greedy_soup_is_no_worse_than_its_best_ingredient_on_the_searchs_noise(
    make_comparison: Make,
) -> None:
    comparison = make_comparison(ARMS, rates=RATES)
    soup = comparison.contender("greedy", 0)
    alone = [
        search_distance(comparison, comparison.contender("plain", 0, Setting(rate)).model)
        for rate in RATES
    ]
    assert search_distance(comparison, soup.model) <= min(alone)
    assert soup.cost.search_images == 3 * 24  # two alone, one soup
    best = RATES[alone.index(min(alone))]
    assert soup.facts["learning_rates"][0] == best
    if len(soup.facts["learning_rates"]) == 1:
        plain = comparison.contender("plain", 0, Setting(best))
        assert soup.model.digest == plain.model.digest


def test_a_soup_costs_all_of_its_trainings_at_every_seed(make_comparison: Make) -> None:
    comparison = make_comparison(ARMS, rates=RATES, seeds=(0, 1), averages=(0.1,))
    average = comparison.choice("plain", 0).setting.average
    for seed in (0, 1):
        plain, soup = (comparison.contender(name, seed) for name in ("plain", "uniform"))
        assert soup.cost.training_steps == 2 * plain.cost.training_steps == 2 * 4
        assert soup.cost.training_images == 2 * plain.cost.training_images
        ingredients = [
            comparison.contender("plain", seed, Setting(rate, average)).model for rate in RATES
        ]
        assert isinstance(soup.model, CombinedModel)
        assert soup.model.parts == tuple(ingredients)
    assert comparison.choice("uniform", 0).trials == ()


def test_a_soup_is_of_finetuned_models(tmp_path: Path) -> None:
    arms = {"deme": {"kind": "merged"}, "soup": {"kind": "soup", "of": "deme"}}
    comparison = tiny_comparison(tmp_path, arms)
    with pytest.raises(ConfigError, match="the arm deme is none"):
        comparison.spec.arms["soup"].phases(comparison, 0, comparison.settings()[0])
