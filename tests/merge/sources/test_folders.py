from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deme.errors import ModelError, StorageError
from deme.merge.sources.component_files import choose_weight_files
from deme.merge.sources.contract import Source, WeightSource
from deme.merge.sources.opening import open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_models import state_of, text_encoder, unet

MakeSaved = Callable[..., Saved]
CLIP = "text_model."


def weights(source: Source) -> WeightSource:
    assert isinstance(source, WeightSource)
    return source


def assert_holds(
    source: Source, state: dict[str, Tensor], dtype: torch.dtype | None = None
) -> None:
    read = weights(source)
    assert sorted(read.layout) == sorted(state)
    for name, tensor in state.items():
        assert torch.equal(read.read(name), tensor.to(dtype or tensor.dtype))


def test_a_pipelines_components_are_those_with_weights(saved: MakeSaved) -> None:
    pipeline = saved()
    model = open_model(pipeline.folder)
    assert (model.form, model.folder) == ("pipeline", pipeline.folder)
    assert sorted(model.components) == ["text_encoder", "unet", "vae"]
    for name, source in model.components.items():
        assert_holds(source, state_of(getattr(pipeline.pipe, name)))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("shards", ["20KB", "10GB"])
def test_components_as_diffusers_saves_them(
    tmp_path: Path, variant: str | None, safe: bool, shards: str
) -> None:
    network = unet()
    network.save_pretrained(  # pyright: ignore[reportCallIssue]
        tmp_path / "unet", variant=variant, safe_serialization=safe, max_shard_size=shards
    )
    model = open_model(tmp_path / "unet", variant=variant)
    assert (model.form, list(model.components)) == ("component", ["unet"])
    source = weights(model.components["unet"])
    assert (len(source.files) > 1) == (shards == "20KB")
    assert_holds(source, state_of(network))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shards", ["5KB", "10GB"])
def test_components_as_transformers_saves_them(
    tmp_path: Path, variant: str | None, shards: str
) -> None:
    network = text_encoder()
    network.save_pretrained(  # pyright: ignore[reportCallIssue]
        tmp_path / "encoder", variant=variant, max_shard_size=shards
    )
    model = open_model(tmp_path / "encoder", variant=variant)
    assert list(model.components) == ["text_encoder"]
    source = weights(model.components["text_encoder"])
    assert (len(source.files) > 1) == (shards == "5KB")
    assert_holds(source, state_of(network))


def test_shards_of_a_variant_in_the_older_naming(tmp_path: Path) -> None:
    network = unet()
    network.save_pretrained(tmp_path, max_shard_size="20KB")  # pyright: ignore[reportCallIssue]
    index = json.loads((tmp_path / "diffusion_pytorch_model.safetensors.index.json").read_text())
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").unlink()
    for file in set(index["weight_map"].values()):
        (tmp_path / file).rename(tmp_path / file.replace(".safetensors", ".fp16.safetensors"))
    index["weight_map"] = {
        name: file.replace(".safetensors", ".fp16.safetensors")
        for name, file in index["weight_map"].items()
    }
    older = tmp_path / "diffusion_pytorch_model.safetensors.fp16.index.json"
    older.write_text(json.dumps(index))
    assert_holds(open_model(tmp_path, variant="fp16").components["unet"], state_of(network))


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        state = {"weight": torch.full((2,), float(len(name)))}
        save_file(state, folder / name) if name.endswith("tensors") else torch.save(
            state, folder / name
        )
    return folder


def test_safetensors_are_preferred(tmp_path: Path) -> None:
    write(tmp_path, "pytorch_model.bin", "model.safetensors", "diffusion_pytorch_model.bin")
    chosen = choose_weight_files(tmp_path, None)
    assert chosen is not None
    assert chosen.path.name == "model.safetensors"


def test_the_only_variant_is_taken_and_said(tmp_path: Path) -> None:
    write(tmp_path / "unet", "diffusion_pytorch_model.fp16.safetensors")
    source = open_model(tmp_path / "unet").components["unet"]
    assert source.origin.endswith("(fp16)")


def test_weights_without_a_variant_come_first(tmp_path: Path) -> None:
    write(
        tmp_path, "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors"
    )
    chosen = choose_weight_files(tmp_path, None)
    assert chosen is not None
    assert chosen.variant is None


def test_several_variants_need_a_choice(tmp_path: Path) -> None:
    write(tmp_path, "model.fp16.safetensors", "model.ema.safetensors")
    with pytest.raises(ModelError, match=r"in several variants only\. Choices: ema, fp16"):
        open_model(tmp_path)
    assert open_model(tmp_path, variant="ema").components


def test_a_variant_that_is_not_there_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    write(tmp_path, "model.fp16.safetensors")
    with pytest.raises(ModelError, match=r"holds no bf16 weights\. Choices: fp16"):
        open_model(tmp_path, variant="bf16")
    with pytest.raises(ModelError, match=r"holds no fp16 weights.*leave variant out"):
        open_model(saved().folder, variant="fp16")


def test_components_without_the_variant_are_read_without_one(
    saved: MakeSaved, tmp_path: Path
) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(saved().folder, folder)
    name = "diffusion_pytorch_model"
    (folder / f"unet/{name}.safetensors").rename(folder / f"unet/{name}.fp16.safetensors")
    model = open_model(folder, variant="fp16")
    assert model.components["unet"].origin.endswith("/unet (fp16)")
    assert model.components["vae"].origin.endswith("/vae")


def test_the_hubs_links_into_its_blobs_are_followed(saved: MakeSaved, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(saved().folder.rglob("*"))):
        if file.is_file():
            shutil.copyfile(file, blobs / f"{number:040x}")
            link = snapshot / file.relative_to(saved().folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blobs / f"{number:040x}", link.parent))
    model = open_model(snapshot)
    assert_holds(model.components["unet"], state_of(saved().pipe.unet))


def test_our_projections_beside_a_pipeline_are_a_component(
    saved: MakeSaved, tmp_path: Path
) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(saved().folder, folder)
    projection = {"channel_projections.0.weight": torch.eye(2)}
    save_file(projection, folder / "channel_projections.safetensors")
    assert_holds(open_model(folder).components["channel_projections"], projection)
    assert sorted(open_model(folder / "unet").components) == ["channel_projections", "unet"]
    # in one file, as the denoiser's weights are in memory
    save_file({**projection, **state_of(unet())}, tmp_path / "all.safetensors")
    model = open_model(tmp_path / "all.safetensors")
    assert sorted(model.components) == ["channel_projections", "unet"]
    assert_holds(model.components["channel_projections"], projection)


def test_the_bundled_model_opens_by_its_name() -> None:
    model = open_model("digits")
    assert list(model.components) == ["unet"]
    assert model.origin == "digits"


def test_shards_without_their_index_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    with pytest.raises(ModelError, match=r"without their index model\.safetensors\.index\.json"):
        open_model(tmp_path)


def test_a_configuration_without_weights_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(saved().folder, folder)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "config.json").write_text("{}")
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert "tokenizer" not in open_model(folder).components
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights of its unet"):
        open_model(folder)


def test_nothing_to_read_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No weights found at .*Choices: <folder>/unet/diffusion"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc", "a/b", ".."])
def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret", "model.safetensors")
    (tmp_path / "pipeline").mkdir()
    index = {"_class_name": "X", name: ["diffusers", "UNet2DModel"]}
    (tmp_path / "pipeline" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="which is not in its own folder"):
        open_model(tmp_path / "pipeline")


@pytest.mark.parametrize(("content", "kind"), [("[]", ModelError), ("{", StorageError)])
def test_a_damaged_index_is_named(tmp_path: Path, content: str, kind: type[Exception]) -> None:
    (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(kind, match=r"model_index\.json is not"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("config", "folder", "expected"),
    [
        ({"_class_name": "WanTransformer3DModel"}, "transformer_2", "transformer_2"),
        ({"_class_name": "WanTransformer3DModel"}, "my-run", "transformer"),
        ({"_class_name": "UNet2DModel"}, "unet_ema_run", "unet"),
        ({"_class_name": "ControlNetModel"}, "anything", "controlnet"),
        ({"architectures": ["CLIPTextModel"]}, "text_encoder_2", "text_encoder_2"),
        ({"architectures": 3}, "mine", "mine"),
        ([], "mine", "mine"),
    ],
)
def test_a_components_folder_is_named_by_its_class(
    tmp_path: Path, config: object, folder: str, expected: str
) -> None:
    write(tmp_path / folder, "model.safetensors")
    (tmp_path / folder / "config.json").write_text(json.dumps(config))
    assert list(open_model(tmp_path / folder).components) == [expected]


def test_a_folder_of_one_file_of_any_name_is_that_file(saved: MakeSaved, tmp_path: Path) -> None:
    shutil.copyfile(saved().file, tmp_path / "my-own-name.safetensors")
    (tmp_path / "notes.txt").write_text("mine")
    model = open_model(tmp_path)
    assert model.form == "file"
    assert "unet" in model.components
