"""What becomes of an expert from elsewhere, whatever it is kept as and whatever it owns."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.merge import read_weights
from deme.merge.compression import compress_expert
from deme.merge.sources.opening import open_expert, open_model
from deme.runs import RunContext, RunSpec, RunStore, load_spec, run_job
from deme.runs.progress import Reporter
from integration.lora_workshop import RANGES, Workshop, context_of, make_workshop


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def said_by(context: RunContext, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "say", said.append)
    return said


def test_a_lora_becomes_the_pipeline_that_peft_merges_it_to(
    workshop: Workshop, tmp_path: Path
) -> None:
    context = context_of(
        workshop,
        tmp_path,
        *({"path": str(workshop.lora(name)), "max_timestep": 500} for name in RANGES),
    )
    run_job(context, ["experts"])
    for name, expected in workshop.merged.items():
        unet = diffusers.DDPMPipeline.from_pretrained(context.store.path / "experts" / name).unet
        for key, tensor in unet.state_dict().items():
            assert torch.allclose(tensor, expected[key], atol=1e-6), (name, key)


def test_every_form_of_an_expert_gives_the_same_weights(workshop: Workshop, tmp_path: Path) -> None:
    pipeline = diffusers.DDPMPipeline.from_pretrained(workshop.base)
    pipeline.unet.load_state_dict(workshop.merged["a"])
    pipeline.save_pretrained(tmp_path / "whole")
    pipeline.unet.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    base = open_model(workshop.base)
    compress_expert(
        base, open_expert(tmp_path / "whole", base), tmp_path / "compressed.safetensors"
    )
    forms = [workshop.folder / "peft-a", tmp_path / "whole", tmp_path / "shards"]
    forms.append(tmp_path / "compressed.safetensors")
    experts = [{"path": str(path)} for path in forms]
    context = context_of(workshop, tmp_path / "runs", *experts)
    assert [e.name for e in context.experts] == ["peft-a", "whole", "shards", "compressed"]
    for index in range(len(forms)):
        weights = context.external_denoiser(index).weights()
        for key, expected in workshop.merged["a"].items():
            assert torch.allclose(weights[key], expected, atol=1e-6), (forms[index], key)


def test_a_range_that_was_left_out_is_what_the_files_note(
    workshop: Workshop, tmp_path: Path
) -> None:
    first = context_of(
        workshop,
        tmp_path,
        {"path": str(workshop.lora("b")), "min_timestep": 400, "max_timestep": 800},
    )
    run_job(first, ["experts"])
    noted = first.store.path / "experts" / "b"
    context = context_of(
        workshop, tmp_path, {"path": str(noted)}, {"path": str(workshop.lora("a"))}
    )
    assert [(e.name, str(e.timesteps)) for e in context.experts] == [
        ("a", "[0, 1000)"),
        ("b", "[400, 800)"),
    ]


def test_experts_of_one_range_are_told_apart(workshop: Workshop, tmp_path: Path) -> None:
    paths = [str(workshop.lora(name)) for name in "ab"]
    ranges = {"min_timestep": 0, "max_timestep": 1000}
    context = context_of(workshop, tmp_path, *({"path": path, **ranges} for path in paths))
    run_job(context, ["experts"])
    first, second = (read_weights(context.expert_folder(e)) for e in context.experts)
    assert first.digest() != second.digest()
    assert len(context.partition) == 1 and "routed" not in context.arms


def test_half_precision_is_said_of_weights_and_not_of_loras(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = {name: tensor.half() for name, tensor in workshop.merged["a"].items()}
    save_file(halves, tmp_path / "halves.safetensors")
    low_rank = {n: t.half() for n, t in load_file(workshop.lora("b")).items()}
    save_file(low_rank, tmp_path / "low_rank.safetensors")
    paths = [tmp_path / "halves.safetensors", tmp_path / "low_rank.safetensors"]
    context = context_of(workshop, tmp_path, *({"path": str(path)} for path in paths))
    said = said_by(context, monkeypatch)
    assert len(context.experts) == 2
    assert len(said) == 1 and "halves.safetensors is saved in float16" in said[0]

    pipeline = diffusers.DDPMPipeline.from_pretrained(workshop.base, dtype=torch.float16)
    pipeline.save_pretrained(tmp_path / "base")
    experts = [{"path": str(paths[1])}]
    spec = RunSpec.model_validate(
        {"model": str(tmp_path / "base"), "data": "digits", "experts": experts}
    )
    context = RunContext(spec, RunStore(tmp_path, spec), Reporter(quiet=True))
    said = said_by(context, monkeypatch)
    assert len(context.experts) == 1 and not said


def test_a_text_encoder_that_a_lora_also_changes_is_said(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load_file(workshop.lora("a"))
    tensors = {f"unet.{name.removeprefix('base_model.model.')}": t for name, t in own.items()}
    layer = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    tensors |= {f"{layer}.lora_A.weight": torch.ones(2, 4)}
    tensors |= {f"{layer}.lora_B.weight": torch.ones(4, 2)}
    save_file(tensors, tmp_path / "both.safetensors")
    context = context_of(workshop, tmp_path, {"path": str(tmp_path / "both.safetensors")})
    said = said_by(context, monkeypatch)
    weights = context.external_denoiser(0).weights()
    assert len(said) == 1 and "also changes text_encoder" in said[0]
    for key, expected in workshop.merged["a"].items():
        assert torch.allclose(weights[key], expected, atol=1e-6), key


def test_the_experts_of_a_configuration_may_overlap_too(workshop: Workshop, tmp_path: Path) -> None:
    entries = [
        {"path": str(workshop.lora("a")), "min_timestep": 0, "max_timestep": 600, "name": "low"},
        {"path": str(workshop.lora("b")), "min_timestep": 0, "max_timestep": 1000},
    ]
    spec = load_spec("digits", [f"model={workshop.base}", f"experts={json.dumps(entries)}"])
    context = RunContext(spec, RunStore(tmp_path, spec), Reporter(quiet=True))
    assert [e.name for e in context.experts] == ["low", "b"]
    assert context.arms == ("pretrained", "joint", "uniform", "merged")
