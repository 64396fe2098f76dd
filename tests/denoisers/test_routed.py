"""The ensemble: each t goes to the expert that owns it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deme.denoisers import Denoiser, RoutedDenoiser, load_denoiser
from deme.errors import ConfigError, ModelError

Write = Callable[..., Path]
EDGES = (0, 250, 600, 1000)


def experts(tiny_pipeline: Write, count: int = 3, **config: int) -> list[Denoiser]:
    return [load_denoiser(tiny_pipeline(f"e{i}", seed=i, **config)) for i in range(count)]


def test_boundaries_belong_to_the_range_that_they_begin(tiny_pipeline: Write) -> None:
    members = experts(tiny_pipeline)
    routed = RoutedDenoiser(members, EDGES)
    x_t = torch.randn(1, 1, 8, 8)
    for t, owner in ((0, 0), (249, 0), (250, 1), (599, 1), (600, 2), (999, 2)):
        at = torch.tensor([t])
        assert torch.equal(routed.predict(x_t, at, {}), members[owner].predict(x_t, at, {}))


def test_a_mixed_batch_equals_one_at_a_time(tiny_pipeline: Write) -> None:
    routed = RoutedDenoiser(experts(tiny_pipeline, num_class_embeds=4), EDGES)
    t = torch.tensor([999, 0, 600, 250, 599, 100, 250])
    x_t = torch.randn(len(t), 1, 8, 8)
    labels = torch.arange(len(t)) % 4
    together = routed.predict(x_t, t, routed.condition(labels=labels))
    for i in range(len(t)):
        part = slice(i, i + 1)
        alone = routed.predict(x_t[part], t[part], routed.condition(labels=labels[part]))
        assert torch.allclose(together[part], alone, atol=1e-5)


def test_one_expert_is_itself(tiny_pipeline: Write) -> None:
    (only,) = experts(tiny_pipeline, 1)
    routed = RoutedDenoiser([only], (0, 1000))
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([0, 999])
    assert torch.equal(routed.predict(x_t, t, {}), only.predict(x_t, t, {}))


def test_a_batch_expanded_from_one_timestep(tiny_pipeline: Write) -> None:
    """Samplers expand one t over the batch, which is not contiguous in memory."""
    members = experts(tiny_pipeline)
    x_t, t = torch.randn(4, 1, 8, 8), torch.tensor(700).expand(4)
    routed = RoutedDenoiser(members, EDGES)
    assert torch.equal(routed.predict(x_t, t, {}), members[2].predict(x_t, t, {}))


def test_it_answers_for_its_experts(tiny_pipeline: Write, tmp_path: Path) -> None:
    members = experts(tiny_pipeline)
    routed = RoutedDenoiser(members, EDGES)
    images = torch.randint(0, 256, (2, 1, 8, 8)).to(torch.uint8)
    assert torch.equal(routed.decode(routed.encode(images)), images)
    assert routed.num_parameters() == 3 * members[0].num_parameters()
    assert routed.projection_sites("foldable") == ()
    with pytest.raises(ModelError, match="save each expert, or merge them first"):
        routed.save(tmp_path / "no")


def test_a_clone_is_independent(tiny_pipeline: Write) -> None:
    routed = RoutedDenoiser(experts(tiny_pipeline), EDGES)
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([0, 999])
    before = routed.predict(x_t, t, {})
    twin = routed.clone()
    assert torch.equal(twin.predict(x_t, t, {}), before)
    twin.load_weights({name: tensor * 0 for name, tensor in twin.weights().items()})
    assert not twin.predict(x_t, t, {}).any()
    assert torch.equal(routed.predict(x_t, t, {}), before)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((0, 500, 1000), "3 experts need 4 boundaries, not 3"),
        ((0, 600, 250, 1000), r"\[0, 600, 250, 1000\] do not cover"),
        ((0, 250, 250, 1000), "do not cover"),
        ((1, 250, 600, 1000), "do not cover"),
        ((0, 250, 600, 900), r"do not cover the model's timesteps \[0, 1000\) once"),
    ],
)
def test_boundaries_must_cover_the_timesteps(
    tiny_pipeline: Write, edges: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RoutedDenoiser(experts(tiny_pipeline), edges)


def test_no_experts() -> None:
    with pytest.raises(ConfigError, match="needs an expert"):
        RoutedDenoiser([], (0,))
