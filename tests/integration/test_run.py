"""The main job as a whole: what it leaves behind, and that doing it twice does it once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deme.assets import DIGITS_PIPELINE
from deme.denoisers import load_denoiser
from deme.files import hash_tree, read_json
from deme.merge import read_weights
from deme.runs import RunContext, run_job
from integration.tiny_run import context_of

WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_every_artifact_is_there_and_in_the_manifest(finished: RunContext) -> None:
    folder = finished.store.path
    manifest = read_json(folder / "manifest.json")["artifacts"]
    for name in ("experts/t0000-0250", "joint", "search/result.json", "merged", "metrics.json"):
        assert manifest[name]["sha256"] == hash_tree(folder / name, leaving_out=("README.md",))
    assert not list(folder.rglob(".partial-*"))


def test_metrics_hold_every_arm_seed_and_floor(finished: RunContext) -> None:
    metrics = read_json(finished.store.path / "metrics.json")
    assert set(metrics["arms"]) == {"pretrained", "joint", "routed", "uniform", "merged"}
    for arm in metrics["arms"].values():
        values = arm["metrics"]["digits"]["frechet"]["values"]
        assert len(values) == 3
        assert arm["metrics"]["digits"]["frechet"]["mean"] == pytest.approx(np.mean(values))
        assert arm["metrics"]["digits"]["frechet"]["std"] == pytest.approx(np.std(values, ddof=1))
    paired = metrics["paired"]["digits"]["frechet"]["joint"]["values"]
    merged = metrics["arms"]["merged"]["metrics"]["digits"]["frechet"]["values"]
    joint = metrics["arms"]["joint"]["metrics"]["digits"]["frechet"]["values"]
    assert paired == pytest.approx([a - b for a, b in zip(merged, joint, strict=True)])
    assert metrics["floor"]["digits"]["frechet"]["mean"] > 0
    assert "ddim-3" in metrics["protocol"] and "seeds 1, 2, 3" in metrics["protocol"]


def test_equal_budget(finished: RunContext) -> None:
    arms = read_json(finished.store.path / "metrics.json")["arms"]
    assert arms["joint"]["training_steps"] == arms["merged"]["training_steps"] == 4 * 6
    assert arms["joint"]["training_images"] == arms["merged"]["training_images"] == 4 * 6 * 16
    assert arms["routed"]["parameters"] == 4 * arms["merged"]["parameters"]


def test_the_search_never_sees_the_evaluation(finished: RunContext) -> None:
    spec = finished.spec
    assert spec.search.seed not in spec.evaluate.seeds
    reference = finished.references["digits"]
    assert not set(reference.split[0].tolist()) & set(reference.split[1].tolist())


def test_merged_is_stock_and_loads_with_diffusers_alone(finished: RunContext) -> None:
    merged = finished.store.path / "merged"
    script = (
        "import sys, torch\n"
        "from diffusers import DiffusionPipeline\n"
        f"pipe = DiffusionPipeline.from_pretrained({str(merged)!r})\n"
        "assert 'deme' not in sys.modules\n"
        "out = pipe(batch_size=2, num_inference_steps=2, output_type='np',\n"
        "           generator=torch.Generator().manual_seed(0)).images\n"
        "print(type(pipe).__name__, sum(p.numel() for p in pipe.unet.parameters()), out.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parameters = load_denoiser("digits").num_parameters()
    assert done.stdout.split()[:2] == ["DDPMPipeline", str(parameters)]
    base, own = read_weights(DIGITS_PIPELINE), read_weights(merged)
    base.require_same_layout(own)
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        assert (merged / name).read_bytes() == (DIGITS_PIPELINE / name).read_bytes()


def test_merged_is_equation_8(finished: RunContext) -> None:
    weights = read_json(finished.store.path / "search" / "result.json")["weights"]
    merged = read_weights(finished.store.path / "merged")
    base = read_weights(DIGITS_PIPELINE)
    experts = [read_weights(finished.expert_folder(expert)) for expert in finished.experts]
    for name, tensor in merged.items():
        expected = base[name].double()
        for weight, expert in zip(weights, experts, strict=True):
            expected = expected + weight * (expert[name].double() - base[name].double())
        assert torch.allclose(tensor.double(), expected, atol=1e-6)


def test_running_again_changes_nothing(finished: RunContext) -> None:
    folder = finished.store.path
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    metrics = (folder / "metrics.json").read_bytes()
    again = context_of(folder.parent)
    run_job(again)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    assert (folder / "metrics.json").read_bytes() == metrics


def test_the_name_and_the_runtime_do_not_decide_the_folder(finished: RunContext) -> None:
    other = context_of(finished.store.path.parent, "runtime.checkpointing_steps=3")
    assert other.store.path == finished.store.path
    changed = context_of(finished.store.path.parent, "decouple.p=0.9")
    assert changed.store.path != finished.store.path


def test_external_experts_take_the_place_of_training(finished: RunContext, tmp_path: Path) -> None:
    entries = [
        {
            "path": str(finished.expert_folder(expert)),
            "min_timestep": expert.timesteps.low,
            "max_timestep": expert.timesteps.high,
        }
        for expert in finished.experts
    ]
    context = context_of(tmp_path, f"experts={json.dumps(entries)}")
    run_job(context, ["experts", "search", "merge"])
    for expert in context.experts:
        own = read_weights(context.expert_folder(expert))
        original = read_weights(finished.expert_folder(expert))
        assert own.digest() == original.digest()
    assert (context.store.path / "merged" / "unet").is_dir()


def test_block_projections_stay_in_the_merged_model(tmp_path: Path) -> None:
    context = context_of(tmp_path, "decouple.projection=block", "decouple.ranges=2")
    run_job(context)
    merged = context.store.path / "merged"
    assert (merged / "channel_projections.safetensors").is_file()
    arms = read_json(context.store.path / "metrics.json")["arms"]
    assert arms["merged"]["parameters"] > load_denoiser("digits").num_parameters()
    # the stock part still loads as a stock pipeline
    load_denoiser("digits").load_weights(load_file(merged / "unet" / WEIGHTS))
