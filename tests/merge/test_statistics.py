"""Collecting statistics: what they depend on, and what they leave as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from deme.data import ImageSource
from deme.decouple import TimestepRange
from deme.denoisers import load_denoiser
from deme.errors import ConfigError, ModelError
from deme.merge.state_dict import StateDict
from deme.merge.statistics import collect_statistics
from merge.tiny_denoiser import TinyDenoiser, collect


@pytest.fixture
def source(tiny_source: Callable[..., ImageSource]) -> ImageSource:
    return tiny_source(10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_batch_size_changes_nothing_but_rounding(
    dtype: torch.dtype, source: ImageSource
) -> None:
    denoiser = TinyDenoiser(dtype=dtype)
    one, four, many = (
        collect(denoiser, source, "regmean", batch_size=size).tensors for size in (1, 4, 100)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(four[name], tensor, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(many[name], tensor, rtol=1e-5, atol=1e-6)
    fishers = [collect(denoiser, source, "fisher", batch_size=size).tensors for size in (1, 4)]
    assert all(torch.equal(fishers[0][name], fishers[1][name]) for name in fishers[0])


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_timesteps_are_those_of_the_range_alone(kind: str, source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    collect(denoiser, source, kind, samples=300)
    assert len(denoiser.seen) == 300
    assert set(denoiser.seen) == set(range(20, 60))  # uniform: each of the 40 is met


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_the_seed_decides_the_samples_and_nothing_else_does(kind: str, source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    denoiser.network.train()  # dropout is left out all the same
    first, again = (collect(denoiser, source, kind).tensors for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = collect(denoiser, source, kind, seed=4).tensors
    assert not torch.equal(first["mix.weight"], other["mix.weight"])


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_the_denoiser_is_left_as_it_was(kind: str, source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    denoiser.network.train()
    denoiser.network.get_submodule("mix").eval()
    denoiser.network.get_parameter("up.bias").requires_grad_(True)
    before = StateDict(denoiser.weights(), "").digest()
    collect(denoiser, source, kind)
    modules = dict(denoiser.network.named_modules())
    assert [name for name, module in modules.items() if not module.training] == ["mix"]
    assert not any(module._forward_pre_hooks for module in modules.values())
    parameters = dict(denoiser.network.named_parameters())
    assert [name for name, p in parameters.items() if p.requires_grad] == ["up.bias"]
    assert all(parameter.grad is None for parameter in parameters.values())
    assert StateDict(denoiser.weights(), "").digest() == before


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_a_u_net_with_classes_is_measured(
    kind: str, tiny_pipeline: Callable[..., Path], tiny_source: Callable[..., ImageSource]
) -> None:
    denoiser = load_denoiser(tiny_pipeline(num_class_embeds=3))
    found = collect(denoiser, tiny_source(10, classes=3), kind, samples=3, batch_size=2)
    if kind == "fisher":
        assert set(found.tensors) == set(denoiser.weights())
        assert bool(found.tensors["class_embedding.weight"].any())
    else:
        layers = {
            f"{name}.weight"
            for name, module in denoiser.network.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        }
        assert set(found.tensors) == layers and not found.description.skipped


def test_the_description_says_how_it_was_measured(source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    found = collect(denoiser, source, "regmean", max_features=99).description
    assert (found.kind, found.min_timestep, found.max_timestep) == ("regmean", 20, 60)
    assert (found.samples, found.images, found.seed, found.max_features) == (6, 10, 3, 99)
    assert found.weights_sha256 == StateDict(denoiser.weights(), "").digest()
    assert found.data_sha256 == source.digest and found.scale == 1


@pytest.mark.parametrize(
    ("kind", "expected"), [("fisher", [1, 2, 3, 4, 5]), ("regmean", [2, 4, 5])]
)
def test_progress_is_told_the_finished_samples(
    kind: str, expected: list[int], source: ImageSource
) -> None:
    done: list[int] = []
    collect(TinyDenoiser(), source, kind, samples=5, batch_size=2, progress=done.append)
    assert done == expected


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_an_expert_that_is_not_finite_is_refused(kind: str, source: ImageSource) -> None:
    denoiser = TinyDenoiser()
    denoiser.network.get_parameter("down.bias").fill_(torch.nan)
    with pytest.raises(ModelError, match=r"in tiny 0 are not finite"):
        collect(denoiser, source, kind)


def test_wrong_settings_are_named(source: ImageSource) -> None:
    with pytest.raises(ConfigError, match=r"Unknown statistics 'fischer'\. Did you mean 'fisher'"):
        collect(TinyDenoiser(), source, "fischer")
    for name in ("samples", "batch_size", "max_features"):
        with pytest.raises(ConfigError, match=f"{name} is 0"):
            collect(TinyDenoiser(), source, "regmean", **{name: 0})
    with pytest.raises(ConfigError, match="exceeds the model's 100 timesteps"):
        collect_statistics(TinyDenoiser(), source, TimestepRange(0, 101), kind="fisher")
