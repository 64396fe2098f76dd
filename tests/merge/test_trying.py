from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

import deme
from deme.decouple import attach_projections
from deme.denoisers import Denoiser
from deme.errors import ConfigError
from deme.merge import MergeRecipe, MergeSource, open_merger, plan_merge, write_merge

MakeExpert = Callable[[str, int], Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def experts(make_expert: MakeExpert) -> list[Path]:
    return [make_expert("e1", 1), make_expert("e2", 2)]


def written(base: Denoiser, experts: list[Path], weights: list[Any], tmp_path: Path) -> Any:
    models = [
        MergeSource(model=str(path), parameters={"weight": weight})
        for path, weight in zip(experts, weights, strict=True)
    ]
    recipe = MergeRecipe(base_model=base.name, models=models)
    write_merge(plan_merge(recipe, Path()), tmp_path / "merged", origin=Path())
    return load_file(tmp_path / "merged" / WEIGHTS)


def test_the_room_can_be_called(base: Denoiser, experts: list[Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    denoiser = deme.merge(base.name, experts, [0.75, -0.25])
    assert sorted(tmp_path.iterdir()) == before
    expected = written(base, experts, [0.75, -0.25], tmp_path)
    assert denoiser.weights().keys() == expected.keys()
    for name, tensor in denoiser.weights().items():
        assert torch.equal(tensor, expected[name])


def test_no_weights_are_equal_ones_and_methods_take_parameters(
    base: Denoiser, experts: list[Path]
) -> None:
    equal = deme.merge(base.name, experts)
    half = deme.merge(base.name, experts, [0.5, 0.5])
    ties = deme.merge(base.name, experts, method="ties", parameters={"density": 0.2})
    name = "conv_in.weight"
    assert torch.equal(equal.weights()[name], half.weights()[name])
    assert not torch.equal(equal.weights()[name], ties.weights()[name])


def test_a_wrong_number_of_weights_is_an_error(base: Denoiser, experts: list[Path]) -> None:
    with pytest.raises(ConfigError, match="2 experts need 2 weights, not 3"):
        deme.merge(base.name, experts, [1.0, 1.0, 1.0])


def test_a_merger_switches_among_what_merging_gives(base: Denoiser, experts: list[Path]) -> None:
    merger = open_merger(base.name, experts)
    memory = {name: t.data_ptr() for name, t in merger.denoiser.weights().items()}
    rules: list[Any] = [{"block": "down", "value": 1.0}, {"value": 0.0}]
    for weights in ([1.0, 0.0], [-0.5, 2.0], [[0.0, 1.0], 0.25], [0.0, 0.0]):
        switched = merger(weights)
        again = deme.merge(base.name, experts, weights)
        for name, tensor in again.weights().items():
            assert torch.equal(switched.weights()[name], tensor)
    assert {name: t.data_ptr() for name, t in switched.weights().items()} == memory
    assert len(rules) == 2


def test_files_of_older_versions_of_diffusers_are_merged_under_their_own_names(
    tmp_path: Path,
) -> None:
    """The published DDPM pipelines are such files: `query` for `to_q`, and so on."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8,),
            norm_num_groups=4,
            attention_head_dim=8,
            down_block_types=("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",),
        )
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / "base")
    expert = deme.load_denoiser(tmp_path / "base")
    for tensor in expert.weights().values():
        tensor.add_(0.01)
    (tmp_path / "e").mkdir()
    expert.save(tmp_path / "e")
    new = load_file(tmp_path / "base" / WEIGHTS)
    renamed = {}
    for name, tensor in new.items():
        for current, former in old.items():
            name = name.replace(f".{current}.", f".{former}.")
        renamed[name] = tensor
    assert renamed.keys() != new.keys()
    save_file(renamed, tmp_path / "base" / WEIGHTS)
    found = written(deme.load_denoiser(tmp_path / "base"), [tmp_path / "e"], [0.5], tmp_path)
    assert found.keys() == renamed.keys()
    for merged in (
        deme.merge(tmp_path / "base", [tmp_path / "e"], [0.5]),
        open_merger(tmp_path / "base", [tmp_path / "e"])([0.5]),
        deme.load_denoiser(tmp_path / "merged"),
    ):
        for name, tensor in merged.weights().items():
            torch.testing.assert_close(tensor, new[name] + 0.005, rtol=0, atol=1e-6)


def test_projections_that_experts_kept_are_in_the_denoiser(base: Denoiser, tmp_path: Path) -> None:
    expert = base.clone()
    attach_projections(expert, "block")
    name = next(name for name in expert.weights() if name.startswith("channel_projections"))
    expert.weights()[name][0, 1] += 2.0
    (tmp_path / "e").mkdir()
    expert.save(tmp_path / "e")
    for merged in (
        deme.merge(base.name, [tmp_path / "e"], [0.5]),
        open_merger(base.name, [tmp_path / "e"])([0.5]),
    ):
        assert merged.weights()[name][0, 1] == 1.0
        x_t = torch.randn(1, *merged.sample_shape)
        before = base.predict(x_t, torch.tensor([5]), {})
        assert not torch.equal(merged.predict(x_t, torch.tensor([5]), {}), before)
