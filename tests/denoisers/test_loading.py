"""From a folder to a denoiser, and what is refused on the way."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file

from deme.denoisers import ModelConfig, load_denoiser
from deme.errors import ModelError

Write = Callable[..., Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PICKLE = "unet/diffusion_pytorch_model.bin"


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def inputs(channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    x_t = torch.randn((3, channels, 8, 8), generator=torch.Generator().manual_seed(0))
    return x_t, torch.tensor([0, 500, 999])


@pytest.mark.parametrize("scheduler", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler"])
@pytest.mark.parametrize(
    ("name", "prediction"), [("epsilon", "epsilon"), ("sample", "sample"), ("v_prediction", "v")]
)
def test_pipelines_load_as_they_are(
    tiny_pipeline: Write, scheduler: str, name: str, prediction: str
) -> None:
    if (scheduler, name) == ("PNDMScheduler", "sample"):
        pytest.skip("PNDM has no sample prediction")
    folder = tiny_pipeline(scheduler=scheduler, scheduler_config={"prediction_type": name})
    denoiser = load_denoiser(folder)
    assert denoiser.prediction == prediction
    assert denoiser.sample_shape == (1, 8, 8)
    assert (denoiser.resolution, denoiser.image_channels, denoiser.num_classes) == (8, 1, None)
    assert denoiser.scheduler_config["_class_name"] == scheduler
    assert not denoiser.network.training
    assert not any(p.requires_grad for p in denoiser.network.parameters())
    stock = UNet2DModel.from_pretrained(folder / "unet")
    x_t, t = inputs()
    expected = stock(x_t, t).sample  # type: ignore[operator]
    assert torch.allclose(denoiser.predict(x_t, t, {}), expected, atol=1e-6)


def test_weights_do_not_depend_on_the_file_any_more(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    denoiser = load_denoiser(folder)
    x_t, t = inputs()
    before = denoiser.predict(x_t, t, {})
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-4000, os.SEEK_END)
        file.write(bytes(4000))
    assert torch.equal(denoiser.predict(x_t, t, {}), before)
    assert all(p.data_ptr() % 16 == 0 for p in denoiser.network.parameters())


def test_a_variant_is_loaded_in_float32(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    UNet2DModel.from_pretrained(folder / "unet").half().save_pretrained(  # type: ignore[attr-defined]
        folder / "unet", variant="fp16"
    )
    full = load_denoiser(folder).weights()
    half = load_denoiser(ModelConfig(path=str(folder), variant="fp16")).weights()
    assert all(tensor.dtype == torch.float32 for tensor in half.values())
    assert any(not torch.equal(full[name], half[name]) for name in full)
    assert all(torch.equal(full[name].half().float(), half[name]) for name in full)


def test_a_missing_variant_is_refused(tiny_pipeline: Write) -> None:
    with pytest.raises(ModelError, match="fp16"):
        load_denoiser(ModelConfig(path=str(tiny_pipeline()), variant="fp16"))


def test_not_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_denoiser(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is not a diffusers pipeline: it has no model_index.json. Fix: give the "
        "folder that save_pretrained of a whole pipeline wrote, or a hub id."
    )


@pytest.mark.parametrize("text", ["[1, 2]", "{not json"])
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        load_denoiser(tmp_path)


def test_another_family_lists_the_choices(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    index = folder / "model_index.json"
    edit_json(index, _class_name="StableDiffusionPipeline", unet=["diffusers", "UNet2DModelX"])
    with pytest.raises(ModelError) as caught:
        load_denoiser(folder)
    assert str(caught.value) == (
        f"{folder} has a UNet2DModelX (StableDiffusionPipeline); this family is not supported "
        "yet. Choices: UNet2DModel."
    )


def test_no_denoising_network(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    edit_json(folder / "model_index.json", unet=[None, None])
    with pytest.raises(ModelError, match=r"no denoising network.*unet, transformer"):
        load_denoiser(folder)


def test_a_latent_pipeline_is_not_taken_for_pixels(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    index = folder / "model_index.json"
    edit_json(index, _class_name="LDMPipeline", vqvae=["diffusers", "VQModel"])
    with pytest.raises(ModelError, match=r"LDMPipeline\) also has vqvae"):
        load_denoiser(folder)


def test_a_file_and_a_name_that_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelError, match="is a file, not a pipeline folder"):
        load_denoiser(file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/has-this", "no such: name"):
        with pytest.raises(ModelError, match="neither a folder here nor a pipeline"):
            load_denoiser(name)


@pytest.mark.parametrize("kept", [0, 5, 0.5])
def test_missing_and_truncated_weights(tiny_pipeline: Write, kept: float) -> None:
    folder = tiny_pipeline()
    content = (folder / WEIGHTS).read_bytes()
    if kept:
        length = int(len(content) * kept) if kept < 1 else int(kept)
        (folder / WEIGHTS).write_bytes(content[:length])
    else:
        (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded.*Fix: give a folder with config.json"):
        load_denoiser(folder)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_the_configuration(tiny_pipeline: Write, change: str) -> None:
    """diffusers itself only warns of the first two, and goes on with random weights."""
    folder = tiny_pipeline()
    weights = load_file(folder / WEIGHTS)
    if change == "missing":
        del weights["conv_in.weight"]
    elif change == "unexpected":
        weights["conv_in.scale"] = torch.zeros(1)
    else:
        weights["conv_in.weight"] = torch.zeros(9, 1, 3, 3)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"conv_in\.(weight|scale)"):
        load_denoiser(folder)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("kind", ["pickle", "torch", "legacy torch"])
def test_a_pickle_of_code_is_refused_and_not_run(
    tiny_pipeline: Write, tmp_path: Path, kind: str
) -> None:
    folder, trace = tiny_pipeline(), tmp_path / "was-run"
    (folder / WEIGHTS).unlink()
    content = {"conv_in.weight": torch.zeros(1), "bomb": Bomb(trace)}
    if kind == "pickle":
        (folder / PICKLE).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, folder / PICKLE, _use_new_zipfile_serialization=kind != "legacy torch")
    with pytest.raises(ModelError, match="a plain checkpoint of tensors"):
        load_denoiser(folder)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()  # it does go off elsewhere


def test_a_pickle_of_plain_tensors_loads(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    expected = load_denoiser(folder).weights()
    torch.save(load_file(folder / WEIGHTS), folder / PICKLE)
    (folder / WEIGHTS).unlink()
    found = load_denoiser(folder).weights()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"out_channels": 2}, "also predicts its variance"),
        ({"in_channels": 4, "out_channels": 4}, "has 4 channels"),
        ({"sample_size": None}, "does not say its sample_size"),
        ({"sample_size": (8, 16)}, "8×16; only squares"),
        ({"class_embed_type": "timestep"}, "class_embed_type 'timestep'"),
    ],
)
def test_networks_that_cannot_be_improved_here(
    tiny_pipeline: Write, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_denoiser(tiny_pipeline(**config))


def test_a_pair_of_equal_sides_is_a_square(tiny_pipeline: Write) -> None:
    assert load_denoiser(tiny_pipeline(sample_size=(8, 8))).sample_shape == (1, 8, 8)


def test_schedulers_that_cannot_be_read(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    index = folder / "model_index.json"
    edit_json(index, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    with pytest.raises(ModelError, match=r"has no ᾱ.*DDPMScheduler, DDIMScheduler"):
        load_denoiser(folder)
    edit_json(index, scheduler=["mine", "MyScheduler"])
    with pytest.raises(ModelError, match="MyScheduler is not one of diffusers'"):
        load_denoiser(folder)
    edit_json(index, scheduler=[None, None])
    with pytest.raises(ModelError, match="scheduler None"):
        load_denoiser(folder)
    edit_json(index, scheduler=["diffusers", "DDPMScheduler"])
    (folder / "scheduler/scheduler_config.json").unlink()
    with pytest.raises(ModelError, match="scheduler cannot be loaded"):
        load_denoiser(folder)


def test_a_family_that_is_not_supported_is_refused_before_its_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "model_index.json"
    unet = ["diffusers", "UNet2DConditionModel"]
    index.write_text(json.dumps({"_class_name": "StableDiffusionPipeline", "unet": unet}))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(index))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were fetched")

    monkeypatch.setattr("diffusers.DiffusionPipeline.download", refuse)
    with pytest.raises(ModelError, match=r"UNet2DConditionModel .* not supported yet"):
        load_denoiser("somebody/stable-diffusion")
