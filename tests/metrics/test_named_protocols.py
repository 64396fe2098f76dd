from typing import get_args

import pytest

from deme.errors import ConfigError
from deme.metrics import NAMED_PROTOCOLS, metric_named, protocol_named
from deme.metrics.named_protocols import ProtocolName
from deme.metrics.registry import DETECTORS

RUNNABLE = ["cifar10-50k", "church-50k", "bedroom-50k"]


def test_every_name_in_a_configuration_is_a_protocol() -> None:
    assert list(get_args(ProtocolName)) == list(NAMED_PROTOCOLS)
    assert [name for name in NAMED_PROTOCOLS if protocol_named(name).missing is None] == RUNNABLE
    with pytest.raises(ConfigError, match=r"no protocol 'cifar-50k'. Did you mean 'cifar10-50k'"):
        protocol_named("cifar-50k")


def test_protocols_name_detectors_and_metrics_that_there_are() -> None:
    for protocol in NAMED_PROTOCOLS.values():
        assert protocol.detector is None or protocol.detector in DETECTORS
        assert protocol.text_detector is None or protocol.text_detector in DETECTORS
    for name in RUNNABLE:
        assert all(metric_named(metric) for metric in protocol_named(name).metrics)


def test_images_are_prompts_times_images_for_each() -> None:
    prompted = [p for p in NAMED_PROTOCOLS.values() if p.prompts is not None]
    assert [p.name for p in prompted] == ["coco-30k", "imagenet-2x1000", "partiprompts"]
    for protocol in prompted:
        assert protocol.prompts is not None
        assert protocol.images == protocol.prompts.count * protocol.prompts.images_each
        assert "not to be run yet: text-to-image" in protocol.describe()


def test_differences_name_the_field_and_both_values() -> None:
    protocol = protocol_named("cifar10-50k")
    fixed = {**protocol.evaluation_fields(), "detector": "inception", **protocol.data_fields()}
    agreeing = {
        "metrics": ["fid", "kid"],
        "images": 50_000,
        "detector": "inception-fidelity",
        "dataset": "./a-copy",
        "resolution": None,
        "seeds": [1],
    }
    assert protocol.differences(fixed, agreeing) == []
    assert protocol.differences(fixed, {"metrics": ["kid"], "images": 5000, "dataset": "a/b"}) == [
        "metrics is kid and not frechet",
        "images is 5000 and not 50000",
        "dataset is a/b and not uoft-cs/cifar10",
    ]
