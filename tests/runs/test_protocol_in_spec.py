"""``evaluate.protocol`` fills a spec, or refuses it."""

from typing import Any

import pytest

from deme.config import parse_config
from deme.errors import ConfigError, ProtocolError
from deme.runs import RunSpec, load_spec
from deme.runs.protocol_filling import require_resolution


def spec(evaluate: dict[str, Any], **sections: Any) -> RunSpec:
    return parse_config(RunSpec, {"model": "m", "evaluate": evaluate, **sections})


def test_it_fills_all_that_is_not_given() -> None:
    filled = spec({"protocol": "cifar10-50k", "seeds": [7]})
    evaluate = filled.evaluate
    assert evaluate.metrics == ("frechet",)
    assert (evaluate.images, evaluate.describe(), evaluate.reference) == (50_000, "ddim-50", "all")
    assert evaluate.seeds == (7,)
    assert filled.detector == "inception"
    data = filled.data
    assert (data.dataset, data.split, data.resolution) == ("uoft-cs/cifar10", "train", None)


def test_what_agrees_may_be_given_and_more_metrics_too() -> None:
    given = spec(
        {"protocol": "cifar10-50k", "metrics": ["frechet", "kid"], "images": 50_000},
        data={"dataset": "./cifar10-copy", "random_flip": True},
        detector="inception-fidelity",
    )
    assert given.evaluate.metrics == ("frechet", "kid")
    assert given.data.dataset == "./cifar10-copy" and given.data.random_flip


def test_what_contradicts_it_is_refused_with_every_difference() -> None:
    with pytest.raises(ConfigError) as caught:
        spec({"protocol": "cifar10-50k"}, detector="digits", data={"resolution": 64})
    assert "not the protocol cifar10-50k: detector is digits and not inception" in str(caught.value)
    assert "data.resolution is 64 and not 32" in str(caught.value)
    with pytest.raises(ConfigError, match=r"images is 5000 and not 50000; sampler is ddpm"):
        spec({"protocol": "cifar10-50k", "images": 5000, "sampler": "ddpm"})
    with pytest.raises(ConfigError, match="dataset is digits and not uoft-cs/cifar10"):
        spec({"protocol": "cifar10-50k"}, data="digits")


def test_data_on_no_hub_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"church-50k needs data.dataset: LSUN's church_outdoor"):
        spec({"protocol": "church-50k"})
    assert spec({"protocol": "church-50k"}, data="./lsun").data.dataset == "./lsun"


def test_images_are_of_the_protocols_size() -> None:
    require_resolution(None, 8)
    require_resolution("cifar10-50k", 32)
    with pytest.raises(ProtocolError, match="images of 32 pixels, and the model makes 64"):
        require_resolution("cifar10-50k", 64)


@pytest.mark.parametrize("name", ["coco-30k", "imagenet-2x1000", "partiprompts"])
def test_text_to_image_protocols_say_what_is_missing(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot be carried out: text-to-image models"):
        spec({"protocol": name}, data="./x")


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'cifar10-50k'"):
        spec({"protocol": "cifar10-5k"}, data="digits")


def test_a_run_is_what_the_protocol_fills_in() -> None:
    named = load_spec("cifar10", ["evaluate.protocol=cifar10-50k"])
    plain = load_spec("cifar10", [f"evaluate.metrics=[{','.join(named.evaluate.metrics)}]"])
    assert plain.detector == "inception"
    assert named.digest() == plain.digest()
    again = RunSpec.model_validate(named.model_dump(mode="json"))
    assert again == named
    assert "protocol" not in plain.model_dump(mode="json")["evaluate"]
