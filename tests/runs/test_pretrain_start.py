"""Random weights to start from: built as said, repeatable, and refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, UNet2DModel

from conftest import TINY_UNET
from deme.config import parse_config
from deme.denoisers import load_denoiser
from deme.errors import ConfigError, ModelError
from deme.files import hash_tree
from deme.runs.flops import forward_flops
from deme.runs.pretrain_architectures import SHIPPED
from deme.runs.pretrain_spec import PretrainSpec
from deme.runs.pretrain_start import described_start, write_start

PARAMETERS = {
    "ddpm-cifar10-32": 35_746_307,
    "ddpm-small-32": 6_472_195,
    "ddpm-tiny-32": 628_299,
    "ddpm-tiny-28": 280_177,
    "ddpm-tiny-16": 280_177,
}


def write(folder: Path, seed: int = 0, architecture: Any = TINY_UNET, **scheduler: Any) -> Path:
    spec = parse_config(
        PretrainSpec,
        {
            "model": {"architecture": architecture},
            "scheduler": scheduler,
            "data": "digits",
            "seed": seed,
        },
    )
    described = described_start(spec, folder)
    assert described is not None
    write_start(described, folder)
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_architectures_have_the_size_that_is_said(name: str) -> None:
    config = {key: value for key, value in SHIPPED[name].items() if key != "_class_name"}
    with torch.device("meta"):
        network = UNet2DModel(**config)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in SHIPPED if "tiny" in name])
def test_shipped_architectures_run_at_their_own_size(name: str, tmp_path: Path) -> None:
    denoiser = load_denoiser(write(tmp_path / "start", architecture=name))
    assert denoiser.resolution == int(name.rpartition("-")[2])
    assert forward_flops(denoiser) > 2 * denoiser.num_parameters()


def test_weights_follow_the_seed_and_leave_the_generator_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first = hash_tree(write(tmp_path / "a"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert hash_tree(write(tmp_path / "b")) == first
    assert hash_tree(write(tmp_path / "c", seed=1)) != first


def test_it_is_a_plain_pipeline_that_names_no_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "start", prediction_type="v_prediction", num_train_timesteps=50)
    pipeline = DDPMPipeline.from_pretrained(folder)
    assert pipeline.scheduler.config["prediction_type"] == "v_prediction"
    assert load_denoiser(folder).schedule.num_timesteps == 50
    for path in folder.rglob("*.json"):
        assert str(tmp_path) not in json.dumps(json.loads(path.read_text()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampl_size": 8}, ("sampl_size", "Did you mean 'sample_size'")),
        ({"norm_num_groups": 5}, ("cannot be built", "norm_num_groups")),
        ({"sample_size": 9}, ("cannot be built", "sample_size")),
        ({"up_block_types": ("UpBlock2D",)}, ("cannot be built",)),
    ],
)
def test_what_cannot_be_built_is_said(
    changes: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        write(tmp_path / "start", architecture={**TINY_UNET, **changes})
    assert all(word in str(raised.value) for word in words), raised.value
    assert not (tmp_path / "start").exists()


def test_another_family_is_not_supported_yet(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="UNet2DConditionModel"):
        write(tmp_path / "start", architecture={"_class_name": "UNet2DConditionModel"})
