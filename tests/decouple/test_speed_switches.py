"""Mixed precision, gradient checkpointing and torch.compile change the speed, not the result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.utils.checkpoint
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import UNet2DModel

from deme.decouple import TrainingJob, TrainingResult, train_expert
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError

MakeJob = Callable[..., TrainingJob]


def furthest(first: TrainingResult, second: TrainingResult) -> float:
    ours, theirs = first.denoiser.weights(), second.denoiser.weights()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def stock(result: TrainingResult, pretrained: Denoiser) -> None:
    """Nothing that accelerate or torch put on the network is left."""
    network = result.denoiser.network
    assert type(network) is UNet2DModel
    assert vars(network).keys() == vars(pretrained.network).keys()
    assert all(tensor.dtype == torch.float32 for tensor in result.denoiser.weights().values())
    twin = result.denoiser.clone()
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([1, 900])
    output = twin.predict(x_t, t, {})
    assert output.dtype == torch.float32
    assert torch.equal(output, result.denoiser.predict(x_t, t, {}))


@pytest.mark.parametrize("placement", ["foldable", "block"])
def test_bf16_trains_float32_weights(
    make_job: MakeJob, pretrained: Denoiser, tmp_path: Path, placement: str
) -> None:
    settings = {"placement": placement, "steps": 6, "adam_epsilon": 1e-3}
    job = make_job(mixed_precision="bf16", **settings)
    half = train_expert(job, tmp_path / "half", Accelerator(cpu=True, mixed_precision="bf16"))
    if placement == "foldable":
        stock(half, pretrained)
    AcceleratorState._reset_state(True)
    full = train_expert(make_job(**settings), tmp_path / "full", Accelerator(cpu=True))
    for one, two in zip(half.losses, full.losses, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=0.03)
        assert one["loss"] != two["loss"]


def test_a_result_can_be_trained_again_in_half_precision(make_job: MakeJob, tmp_path: Path) -> None:
    """accelerate passes over a network that it takes for prepared."""
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    first = train_expert(make_job(steps=1), tmp_path / "first", accelerator).denoiser
    again = train_expert(make_job(first, steps=3), tmp_path / "half", accelerator)
    AcceleratorState._reset_state(True)
    full = train_expert(make_job(first, steps=3), tmp_path / "full", Accelerator(cpu=True))
    assert again.losses[0]["loss"] != full.losses[0]["loss"]


@pytest.mark.parametrize("placement", ["foldable", "block", "none"])
def test_gradient_checkpointing_changes_nothing(
    make_job: MakeJob,
    accelerator: Accelerator,
    same_weights: Callable[[Denoiser, Denoiser], bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    placement: str,
) -> None:
    plain = train_expert(make_job(placement=placement), tmp_path / "plain", accelerator)
    recomputed: list[object] = []
    own: Any = torch.utils.checkpoint.checkpoint

    def counting(function: object, *args: Any, **more: Any) -> object:
        recomputed.append(function)
        return own(function, *args, **more)

    monkeypatch.setattr(torch.utils.checkpoint, "checkpoint", counting)
    job = make_job(placement=placement, gradient_checkpointing=True)
    saving = train_expert(job, tmp_path / "saving", accelerator)
    assert recomputed
    assert same_weights(plain.denoiser, saving.denoiser)
    assert plain.losses == saving.losses
    assert not cast(UNet2DModel, saving.denoiser.network).is_gradient_checkpointing


def test_a_network_without_gradient_checkpointing(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UNet2DModel, "_supports_gradient_checkpointing", False)
    with pytest.raises(ConfigError, match="has no gradient checkpointing"):
        train_expert(make_job(gradient_checkpointing=True), tmp_path, accelerator)


def compile_and_compare(make_job: MakeJob, base: Denoiser, precision: str, folder: Path) -> None:
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    settings = {"steps": 3, "adam_epsilon": 1e-3}
    plain = train_expert(make_job(base, **settings), folder / "plain", accelerator)
    job = make_job(base, compile=True, **settings)
    compiled = train_expert(job, folder / "compiled", accelerator)
    stock(compiled, base)
    assert furthest(plain, compiled) < 1e-5


@pytest.mark.filterwarnings("default")  # dynamo warns of diffusers' own code
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_traced_trains_the_same(
    make_job: MakeJob,
    pretrained: Denoiser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """All of torch.compile but the making of machine code, which takes a minute."""
    calls: list[object] = []
    own: Any = torch.compile

    def tracing(network: object) -> object:
        calls.append(network)
        return own(network, backend="eager")

    monkeypatch.setattr(torch, "compile", tracing)
    compile_and_compare(make_job, pretrained, precision, tmp_path)
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_trains_the_same(
    make_job: MakeJob, tiny_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    smallest = tiny_pipeline(
        "smallest",
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
    )
    compile_and_compare(make_job, load_denoiser(smallest), "no", tmp_path)
