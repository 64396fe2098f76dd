import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from deme.config import parse_config
from deme.decouple import attach_projections, restore_projections
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError, MismatchError
from deme.merge import (
    MergeRecipe,
    MergeSource,
    StateDict,
    TaskVector,
    merge_weights,
    read_weights,
    write_merge,
)

MakeExpert = Callable[[str, int], Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def sources(make_expert: MakeExpert) -> list[MergeSource]:
    return [
        MergeSource(model=str(make_expert("e1", 1)), min_timestep=0, max_timestep=500, weight=0.75),
        MergeSource(model=str(make_expert("e2", 2)), weight=-0.25),
    ]


def test_the_written_pipeline_holds_equation_8(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    theta = StateDict({k: v.clone() for k, v in base.weights().items()}, "base")
    write_merge(base, sources, tmp_path / "merged")
    experts = [read_weights(Path(source.model)) for source in sources]
    vectors = [TaskVector.between(theta, expert) for expert in experts]
    expected = merge_weights(theta, vectors, [0.75, -0.25])
    assert read_weights(tmp_path / "merged").digest() == expected.digest()
    assert expected.digest() != theta.digest()


def test_the_given_denoiser_stays_as_it_is(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    before = StateDict(base.weights(), "").digest()
    write_merge(base, sources, tmp_path / "merged")
    assert StateDict(base.weights(), "").digest() == before


def test_it_loads_in_plain_diffusers_with_the_bases_keys_and_config(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    write_merge(base, sources, tmp_path / "merged")
    pipeline = cast(Any, DiffusionPipeline.from_pretrained(tmp_path / "merged"))
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=2, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    original = Path(base.name)
    stock = {k: v.shape for k, v in load_file(original / WEIGHTS).items()}
    assert {k: v.shape for k, v in load_file(tmp_path / "merged" / WEIGHTS).items()} == stock
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        merged_json = json.loads((tmp_path / "merged" / name).read_text())
        assert merged_json == json.loads((original / name).read_text())


def test_a_colleague_may_read_what_was_written(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    """Safetensors alone would make the weights readable by their owner only."""
    write_merge(base, sources, tmp_path / "merged")
    (tmp_path / "plain").touch()
    expected = (tmp_path / "plain").stat().st_mode
    for path in (tmp_path / "merged").rglob("*"):
        if path.is_file():
            assert path.stat().st_mode == expected, path


def test_the_recipe_comes_back_from_yaml(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    recipe = write_merge(base, sources, tmp_path / "merged")
    stored = yaml.safe_load((tmp_path / "merged" / "recipe.yaml").read_text("utf-8"))
    assert parse_config(MergeRecipe, stored) == recipe
    assert recipe.base_sha256 == StateDict(base.weights(), "").digest()
    assert [m.sha256 for m in recipe.models] == [
        read_weights(Path(source.model)).digest() for source in sources
    ]
    assert [(m.weight, m.min_timestep, m.max_timestep) for m in recipe.models] == [
        (0.75, 0, 500),
        (-0.25, None, None),
    ]


def test_a_stored_recipe_repeats_its_merge(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    write_merge(base, sources, tmp_path / "first")
    stored = yaml.safe_load((tmp_path / "first" / "recipe.yaml").read_text("utf-8"))
    recipe = parse_config(MergeRecipe, stored)
    write_merge(load_denoiser(recipe.base_model), recipe.models, tmp_path / "second")
    for name in (WEIGHTS, "recipe.yaml"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_an_output_that_exists_is_left_alone(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "precious").write_text("mine")
    with pytest.raises(ConfigError, match=r"merged exists\. Fix: choose another --output"):
        write_merge(base, sources, tmp_path / "merged")
    assert [path.name for path in (tmp_path / "merged").iterdir()] == ["precious"]


def test_an_expert_given_twice_is_refused_under_any_spelling(
    base: Denoiser, sources: list[MergeSource], tmp_path: Path
) -> None:
    again = sources[0].model_copy(update={"model": str(tmp_path / "e2" / ".." / "e1")})
    with pytest.raises(ConfigError, match="e1 is given twice"):
        write_merge(base, [*sources, again], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_an_expert_of_another_architecture_is_refused(
    base: Denoiser, make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_pipeline("wide", width=16)
    with pytest.raises(MismatchError) as raised:
        write_merge(base, [MergeSource(model=str(other), weight=1.0)], tmp_path / "merged")
    lines = str(raised.value).splitlines()
    total = len(base.weights())
    assert lines[0].startswith(f"{base.name} and {other} differ in ")
    assert lines[0].endswith(f" of {total} tensors:")
    assert "  conv_in.bias: shape (8,) against (16,)" in lines
    assert lines[-1].startswith("Fix: give experts that were finetuned from this very base")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "wide"]


def test_half_precision_experts_of_a_half_precision_base_are_merged(
    make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_pipeline("half", half=True)
    stored = load_file(folder / WEIGHTS)
    file = tmp_path / "expert.safetensors"
    save_file({k: v + torch.full_like(v, 0.01) for k, v in stored.items()}, file)
    source = MergeSource(model=str(file), weight=0.5)
    write_merge(load_denoiser(folder), [source], tmp_path / "merged")
    expert, merged = load_file(file), read_weights(tmp_path / "merged")
    for key, tensor in stored.items():
        expected = tensor.float() + 0.5 * (expert[key].float() - tensor.float())
        torch.testing.assert_close(merged[key], expected, rtol=0, atol=1e-7)


def test_a_half_precision_expert_of_a_float32_base_is_refused(
    base: Denoiser, tmp_path: Path
) -> None:
    """Its task vector would be the rounding of the weights."""
    file = tmp_path / "expert.safetensors"
    save_file({k: v.half() for k, v in base.weights().items()}, file)
    with pytest.raises(MismatchError, match=r"dtype torch\.float32 against torch\.float16"):
        write_merge(base, [MergeSource(model=str(file), weight=1.0)], tmp_path / "merged")


def test_projections_that_stay_in_the_experts_are_merged_too(
    base: Denoiser, tmp_path: Path
) -> None:
    expert = base.clone()
    attach_projections(expert, "block")
    name = next(name for name in expert.weights() if name.startswith("channel_projections"))
    expected = expert.weights()[name].clone()
    expected[0, 1] += 1.0
    expert.weights()[name][0, 1] += 2.0
    (tmp_path / "e").mkdir()
    expert.save(tmp_path / "e")
    source = MergeSource(model=str(tmp_path / "e"), weight=0.5)
    write_merge(base, [source], tmp_path / "merged")
    merged = load_denoiser(tmp_path / "merged")
    restore_projections(merged, tmp_path / "merged")
    assert torch.equal(merged.weights()[name], expected)
    assert not any(key.startswith("channel_projections") for key in base.weights())
