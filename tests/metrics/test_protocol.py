import dataclasses
import json

import pytest

from deme.errors import ProtocolError
from deme.metrics import Protocol

KNOWN = Protocol(
    detector="digits",
    detector_digest="a" * 64,
    resize="none",
    reference_digest="b" * 64,
    reference_images=898,
    generated_images=896,
    sampler="ddim",
    sampler_steps=20,
    seeds=(5, 6),
)


def test_one_line_says_it_all() -> None:
    assert KNOWN.describe() == (
        "detector digits (aaaaaaaaaaaa) · resize none · 896 generated images · "
        "898 real images (bbbbbbbbbbbb) · ddim 20 steps · seeds 5, 6"
    )
    assert Protocol().describe() == "protocol unknown"


CHANGES = {
    "detector_digest": "c" * 64,
    "resize": "bilinear to 299",
    "reference_digest": "d" * 64,
    "reference_images": 50_000,
    "generated_images": 5_000,
    "sampler": "ddpm",
    "sampler_steps": 50,
    "seeds": (7,),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_field_that_differs_is_named_and_no_other(name: str) -> None:
    other = dataclasses.replace(KNOWN, **{name: CHANGES[name]})
    with pytest.raises(ProtocolError) as caught:
        KNOWN.require_same(other)
    message = str(caught.value)
    assert f"{name}: " in message and "≠" in message
    assert not any(f"{absent}: " in message for absent in set(CHANGES) - {name})


def test_every_field_is_compared_save_the_label() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Protocol)} - {"detector"}
    KNOWN.require_same(dataclasses.replace(KNOWN, detector="a renamed file"))


def test_two_differences_are_both_named() -> None:
    other = dataclasses.replace(KNOWN, sampler_steps=50, generated_images=5_000)
    with pytest.raises(
        ProtocolError, match=r"generated_images: 896 ≠ 5000; sampler_steps: 20 ≠ 50"
    ):
        KNOWN.require_same(other)


def test_features_need_the_same_detector_and_resize_alone() -> None:
    KNOWN.require_same_features(Protocol("digits", "a" * 64, reference_images=3))
    with pytest.raises(ProtocolError, match=r"detector_digest: digits \(a+\) ≠ other \(c+\)"):
        KNOWN.require_same_features(Protocol("other", "c" * 64))


def test_the_unknown_is_compared_only_when_allowed() -> None:
    for first, second in ((KNOWN, Protocol()), (Protocol(), KNOWN), (Protocol(), Protocol())):
        with pytest.raises(ProtocolError, match="allow_unknown=True"):
            first.require_same(second)
        first.require_same(second, allow_unknown=True)


def test_it_survives_json() -> None:
    assert Protocol.from_dict(json.loads(json.dumps(KNOWN.to_dict()))) == KNOWN


def test_fields_of_another_version_are_named() -> None:
    with pytest.raises(ProtocolError, match="unknown fields: colour"):
        Protocol.from_dict({**KNOWN.to_dict(), "colour": "blue"})
