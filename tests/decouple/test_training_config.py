"""What a training's configuration refuses, and what does not change a run's name."""

from __future__ import annotations

from typing import Any

import pytest

from deme.config import parse_config
from deme.decouple.config import DecoupleConfig, TrainingConfig
from deme.errors import ConfigError


@pytest.mark.parametrize(("settings", "message"), [
    ({"weighting_gamma": 2.0}, "weighting_gamma is no setting of the weighting standard"),
    ({"weighting": "min_snr", "weighting_k": 2.0}, "_k is no setting of the weighting"),
    ({"weighting": "p2", "weighting_learning_rate": 0.1}, "the weighting p2 learns nothing"),
    ({"weighting": "learned", "multitask": {}}, "learn the same: give one"),
    ({"multitask": {"method": "mean"}, "mixed_precision": "fp16"}, "fp16 scales and lets overflow"),
    ({"multitask": {"method": "nash"}}, "multitask.method: must be one of uncertainty, nash_mtl"),
    ({"multitask": {"clusters": 0}}, "multitask.clusters"),
    ({"multitask": {"cluster_by": "gradient", "affinity_bins": 4}}, "5 clusters cannot be made"),
])  # fmt: skip
def test_what_does_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(TrainingConfig, settings)


def test_settings_that_are_off_leave_no_trace() -> None:
    """Runs are named by a hash of this."""
    off = {"weighting_gamma", "weighting_k", "weighting_learning_rate", "multitask"}
    assert not off & TrainingConfig().model_dump(mode="json").keys()
    silent = {*off, "tree", "snapshots", "snapshot_sigmas"}
    assert not silent & DecoupleConfig().model_dump(mode="json").keys()


@pytest.mark.parametrize("settings", [
    {"weighting": "p2", "weighting_gamma": 0.5, "weighting_k": 2.0},
    {"weighting": "learned", "weighting_learning_rate": 0.0},
    {"multitask": {"method": "nash_mtl", "cluster_by": "snr"}},
    {"multitask": {}, "mixed_precision": "fp16"},
    {"tree": True},
    {"snapshots": 2},
], ids=str)  # fmt: skip
def test_settings_that_are_on_survive_the_round_trip(settings: dict[str, Any]) -> None:
    config = DecoupleConfig.model_validate({"steps": 8, **settings})
    values = config.model_dump(mode="json")
    assert DecoupleConfig.model_validate(values) == config
    assert values.keys() >= settings.keys()
