"""The CIFAR-10 recipe at its real architecture and on real images, for a few steps on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deme.files import read_json
from deme.merge import read_weights
from deme.runs import RunContext, RunStore, load_spec, run_job
from deme.runs.progress import Reporter

DATA = Path(os.environ.get("DEME_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PUBLISHED_PARAMETERS = 35_746_307


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(
    not (DATA / "cifar10").is_dir(), reason=f"no real CIFAR-10 at {DATA} (set DEME_TEST_DATA)"
)
def test_the_recipe_runs_from_experts_to_metrics(tmp_path: Path) -> None:
    spec = load_spec(
        "cifar10-recommended",
        [
            "model.random_weights=true",
            f"data.dataset={DATA / 'cifar10'}",
            "data.max_images=200",
            f"detector={DATA / 'features' / 'cifar10_resnet56.pt'}",
            "decouple.ranges=2",
            "decouple.steps=2",
            "decouple.batch_size=2",
            "search.images=4",
            "search.evaluations=2",
            "search.sampler_steps=2",
            "evaluate.images=4",
            "evaluate.validation_images=4",
            "evaluate.sampler_steps=2",
            "evaluate.metrics=[frechet]",
            "evaluate.arms=[pretrained, routed, merged]",
            "runtime.threads=1",
        ],
    )
    context = RunContext(spec, RunStore(tmp_path, spec), Reporter(quiet=True))
    assert context.denoiser.num_parameters() == PUBLISHED_PARAMETERS
    run_job(context)
    metrics = read_json(context.store.path / "metrics.json")
    assert set(metrics["arms"]) == {"pretrained", "routed", "merged"}
    assert metrics["detectors"] == ["cifar10_resnet56"]
    expert = read_weights(context.expert_folder(context.experts[0]))
    assert any(not expert[name].equal(context.base[name]) for name in expert)
