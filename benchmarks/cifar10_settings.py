"""What ``cifar10.py`` trains and compares, by data set and size of the network."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]
GREY = {"in_channels": 1, "out_channels": 1}
ARCHITECTURES: dict[tuple[str, str], Values] = {
    ("cifar10", "tiny"): {"architecture": "ddpm-tiny-32"},
    ("cifar10", "small"): {"architecture": "ddpm-small-32"},
    ("cifar10", "ddpm-cifar10-32"): {"architecture": "ddpm-cifar10-32"},
    ("fashion_mnist", "tiny"): {"architecture": "ddpm-tiny-16"},
    ("fashion_mnist", "small"): {
        "architecture": "ddpm-small-32",
        "changes": {**GREY, "sample_size": 28},
    },
    ("fashion_mnist", "ddpm-cifar10-32"): {"architecture": "ddpm-cifar10-32", "changes": GREY},
}
PRETRAINING_RATE = {"tiny": 1e-3, "small": 5e-4, "ddpm-cifar10-32": 3e-4}
RATES = {"tiny": [2e-4, 5e-4], "small": [1e-4, 3e-4], "ddpm-cifar10-32": [5e-5, 2e-4]}
BATCH = {"tiny": 64, "small": 128, "ddpm-cifar10-32": 128}
SAMPLER_STEPS = {"tiny": 10, "small": 20, "ddpm-cifar10-32": 25}
GROUPS: tuple[dict[str, Values], ...] = (
    {
        "pretrained": {"kind": "pretrained"},
        "routed": {"kind": "experts", "title": "DeMe, routed (four models)"},
        "uniform": {"kind": "experts", "serve": "uniform", "title": "DeMe, uniform merge"},
        "deme": {"kind": "merged", "title": "DeMe, merged"},
        "plain": {"kind": "finetune", "title": "joint finetuning"},
    },
    {
        "min_snr": {"kind": "finetune", "decouple": {"weighting": "min_snr"}},
        "p2": {"kind": "finetune", "decouple": {"weighting": "p2"}},
        "snr_plus_one": {"kind": "finetune", "decouple": {"weighting": "snr_plus_one"}},
        "truncated_snr": {"kind": "finetune", "decouple": {"weighting": "truncated_snr"}},
    },
    {
        "ant_uw": {"kind": "finetune", "decouple": {"multitask": {"method": "uncertainty"}}},
        "ant_nash": {"kind": "finetune", "decouple": {"multitask": {"method": "nash_mtl"}}},
        "edm2": {"kind": "finetune", "decouple": {"weighting": "learned"}},
    },
)
"""Rows of the table, in the order in which they are made."""
TRAININGS = 10.5
"""Trainings at the whole budget, in units of a plain one: nine, the teacher's share, games."""
