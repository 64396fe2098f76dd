"""Shipped recipes: the paper's settings are the paper's; what we recommend says what differs."""

from __future__ import annotations

import pytest

from deme.runs import RunSpec, list_recipes, load_spec
from deme.runs.recipes import recipe_text

# METHOD: model, p, batch × accumulation, rate, FID pretrained, routed and merged (Table 1)
PUBLISHED = {
    "cifar10": ("google/ddpm-cifar10-32", 0.4, 64, 1, 2e-4, "4.42", "3.79", "3.51"),
    "church": ("google/ddpm-ema-church-256", 0.3, 16, 4, 5e-5, "10.69", "9.57", "7.27"),
    "bedroom": ("google/ddpm-ema-bedroom-256", 0.3, 16, 4, 5e-5, "6.46", "5.87", "5.84"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name: str) -> None:
    model, p, batch, accumulation, rate, *numbers = PUBLISHED[name]
    spec = load_spec(name)
    config = spec.decouple
    assert spec.model.path == model and spec.detector == "inception"
    assert (config.ranges, config.p, config.steps) == (4, p, 20_000)
    assert (config.batch_size, config.gradient_accumulation_steps) == (batch, accumulation)
    assert (config.learning_rate, config.lr_scheduler) == (rate, "constant")
    assert (config.adam_beta1, config.adam_beta2, config.adam_weight_decay) == (0.95, 0.999, 1e-6)
    assert (config.consistency, config.projection, config.antithetic) == (1, "block", True)
    assert (config.ema_max_decay, config.ema_power, config.max_grad_norm) == (0.9999, 0.75, 1)
    assert spec.search.strategy == "grid" and spec.search.images == 5000
    assert spec.evaluate.images == 50_000
    assert {part.describe() for part in (spec.search, spec.evaluate)} == {"ddim-50"}
    assert all(number in recipe_text(name) for number in (*numbers, "2410.06664"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_we_recommend_trains_as_published_but_for_projections_that_fold(name: str) -> None:
    ours, theirs = load_spec(f"{name}-recommended"), load_spec(name)
    assert ours.model == theirs.model and ours.data == theirs.data
    same = theirs.decouple.model_copy(update={"projection": "foldable"})
    assert ours.decouple == same
    assert ours.search.strategy == "surface" and ours.search.bounds[0] < 0
    assert len(ours.evaluate.seeds) == 3
    assert name in recipe_text(f"{name}-recommended")


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_can_be_written_down_and_read_again(name: str) -> None:
    spec = load_spec(name)
    assert RunSpec.model_validate_json(spec.model_dump_json()).digest() == spec.digest()
