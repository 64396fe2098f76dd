"""A whole comparison, tiny: every shared stage on the bundled digits in a few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from deme.compare import load_comparison, open_comparison, run_comparison
from deme.compare.comparison import Comparison
from deme.runs import RunStore
from deme.runs.progress import Reporter

SMALL: dict[str, Any] = {
    "name": "small",
    "run": {
        "recipe": "digits",
        "decouple": {"ranges": 2, "steps": 2, "batch_size": 8},
        "search": {"images": 24, "evaluations": 1, "sampler_steps": 2, "sample_batch_size": 24},
        "evaluate": {
            "metrics": ["frechet", "kid"],
            "images": 24,
            "seeds": [1, 2],
            "sampler_steps": 2,
            "sample_batch_size": 24,
            "detectors": ["pixels"],
        },
        "runtime": {"workers": 1, "threads": 1, "checkpointing_steps": 1},
    },
    "seeds": [0, 1],
    "trials": {"learning_rates": [1e-3, 4e-3], "averages": [0.1]},
    "reference": "deme",
    "arms": {
        "pretrained": {"kind": "pretrained"},
        "plain": {"kind": "finetune", "title": "joint finetuning"},
        "routed": {"kind": "experts"},
        "uniform": {"kind": "experts", "serve": "uniform"},
        "deme": {"kind": "merged"},
    },
    "curve": {"sampler_steps": [3], "arms": ["plain"]},
}


def comparison_in(folder: Path, arms: Sequence[str] | None = None) -> Comparison:
    kept = [*SMALL["arms"]] if arms is None else list(arms)
    values = {**SMALL, "arms": {name: SMALL["arms"][name] for name in kept}}
    values["curve"] = SMALL["curve"] if "plain" in kept else {}
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    spec = load_comparison(str(folder / "small.yaml"))
    return open_comparison(spec, RunStore(folder / "runs", spec.run), Reporter(quiet=True))


def compare_in(folder: Path) -> None:
    """The whole comparison, as ``deme compare`` does it."""
    torch.set_num_threads(1)
    run_comparison(comparison_in(folder))
