"""From words on the command line to a run: ranges, names, options, and errors that teach."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deme.errors import ConfigError
from deme.runs import RunSpec
from deme.runs.ad_hoc import SearchRequest, parse_bounds, parse_expert, parse_objective
from deme.runs.expert_names import name_experts
from deme.runs.spec import ARMS

MINIMAL = {"model": "digits", "data": "digits"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with some files that may be experts."""
    for name in ("a.safetensors", "b.safetensors", "lr=1e-4.safetensors", "C:low=0.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path", "low", "high"),
    [
        ("a.safetensors=0:400", "a.safetensors", 0, 400),
        ("a.safetensors= 0 : 400 ", "a.safetensors", 0, 400),
        ("a.safetensors=400:", "a.safetensors", 400, None),
        ("a.safetensors=:400", "a.safetensors", None, 400),
        ("a.safetensors", "a.safetensors", None, None),
        ("lr=1e-4.safetensors=0:400", "lr=1e-4.safetensors", 0, 400),
        ("lr=1e-4.safetensors", "lr=1e-4.safetensors", None, None),
        ("C:low=0.safetensors=5:6", "C:low=0.safetensors", 5, 6),
        ("somebody/a-lora=0:1", "somebody/a-lora", 0, 1),  # on the hub
    ],
)
def test_a_range_is_what_follows_the_last_equals_sign(
    here: Path, text: str, path: str, low: int | None, high: int | None
) -> None:
    assert parse_expert(text) == {"path": path, "min_timestep": low, "max_timestep": high}


@pytest.mark.parametrize(
    "owned", ["400:400", "500:400", "0-400", "-5:400", "400", "", "a:b", "0:400:500", "0.5:1"]
)
def test_a_range_that_is_none(here: Path, owned: str) -> None:
    with pytest.raises(ConfigError, match="0 <= LOW < HIGH") as raised:
        parse_expert(f"a.safetensors={owned}")
    assert f"a.safetensors={owned}" in str(raised.value) and raised.value.exit_code == 2


@pytest.mark.parametrize("path", ["c.safetensors", "./a.safetensor", "aa", "base/a.safetensors"])
def test_a_missing_file_is_not_asked_of_the_hub(here: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="There is no expert") as raised:
        parse_expert(f"{path}=0:400")
    assert path in str(raised.value)


def test_a_missing_file_is_told_the_nearest_name(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'a\.safetensors'"):
        parse_expert("a.safetensor=0:400")


# names

PART = st.text("abAB.-_ =:é", min_size=1, max_size=4)
PATHS = st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), max_size=6, unique=True)


@given(PATHS)
def test_names_are_folder_names_and_told_apart(paths: list[str]) -> None:
    names = name_experts(paths, ARMS)
    folded = [name.casefold() for name in names]
    assert len({*folded, *ARMS}) == len(paths) + len(ARMS)
    assert all(re.fullmatch(r"[\w-][\w.-]*", name) for name in names)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["low/a.safetensors", "b.ckpt"], ["a", "b"]),
        (["low/unet.safetensors", "high/unet.safetensors"], ["low-unet", "high-unet"]),
        (["x/pytorch_lora_weights.safetensors", "y/adapter_model.safetensors"], ["x", "y"]),
        (["runs/r/merged"], ["r-merged"]),  # an arm of the table is called merged
        (["a.safetensors", "../a.safetensors"], ["a", "a-2"]),
        (["somebody/v1.5-lora"], ["v1.5-lora"]),
        (["..\\m\\A.PT", "a"], ["m-A", "a"]),
    ],
)
def test_names_say_as_much_as_tells_apart(paths: list[str], names: list[str]) -> None:
    assert name_experts(paths, ARMS) == names


# the specification


def test_experts_of_a_specification_are_named_and_a_name_is_kept() -> None:
    experts = [{"path": "x/a.pt"}, {"path": "y/a.pt", "name": "mine"}, {"path": "z/mine.pt"}]
    spec = RunSpec.model_validate({**MINIMAL, "experts": experts})
    assert spec.experts is not None
    assert [expert.name for expert in spec.experts] == ["a", "mine", "z-mine"]
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("experts", "words"),
    [
        ([], "names none"),
        ([{"path": "a"}, {"path": "a", "max_timestep": 5}], "path a"),
        ([{"path": "a"}, {"path": "./a"}], "path ./a"),
        ([{"path": "a", "name": "x"}, {"path": "b", "name": "X"}], "name X"),
        ([{"path": "a", "name": "merged"}], "arm"),
        ([{"path": "a", "name": "x/y"}], "folder name"),
        ([{"path": "a", "min_timestep": 5, "max_timestep": 5}], "below"),
    ],
)
def test_experts_that_cannot_be_told_apart(experts: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RunSpec.model_validate({**MINIMAL, "experts": experts})


def test_a_base_and_experts_are_a_run_that_trains_nothing(here: Path) -> None:
    experts = ("a.safetensors=0:400", "b.safetensors=400:1000")
    spec = SearchRequest("base", experts, {"data": "images"}).spec()
    assert spec.experts is not None
    ranges = [(e.name, e.min_timestep, e.max_timestep) for e in spec.experts]
    assert ranges == [("a", 0, 400), ("b", 400, 1000)]
    assert (spec.name, spec.model.path, spec.data.dataset) == ("base", "base", "images")
    assert spec.decouple.steps == 0 and not spec.joint.enabled
    assert "joint" not in spec.evaluate.arms
    assert spec.evaluate.reference == "halves"  # the search must not see what judges it


@pytest.mark.parametrize(
    ("base", "data", "detector"),
    [
        ("base", "images", "inception"),
        ("base", "digits", "digits"),
        ("digits", "images", "digits"),
    ],
)
def test_the_detector_follows_model_and_images(
    here: Path, base: str, data: str, detector: str
) -> None:
    request = SearchRequest(base, ("a.safetensors",), {"data": data})
    assert request.spec().detector == detector


def test_options_are_keys_and_overrides_come_last(here: Path) -> None:
    options: dict[str, str | int | None] = {
        "data": "2024",  # a folder, and no number
        "detector": "digits",
        "images": 100,
        "sampler": "ddpm",
        "sampler_steps": 7,
        "strategy": "grid",
        "objective": None,
        "bounds": "-0.5:1.5",
        "seed": 5,
        "workers": 2,
    }
    overrides = ("search.images=50", "data.random_flip=true", "model.variant=fp16", "name=mine")
    spec = SearchRequest("base", ("a.safetensors",), options, overrides).spec()
    assert (spec.data.dataset, spec.data.random_flip, spec.detector) == ("2024", True, "digits")
    assert (spec.search.images, spec.search.seed, spec.search.strategy) == (50, 5, "grid")
    assert spec.search.bounds == (-0.5, 1.5) and spec.search.objective == "frechet"
    for protocol in (spec.search, spec.evaluate):
        assert (protocol.sampler, protocol.sampler_steps) == ("ddpm", 7)
    assert (spec.runtime.workers, spec.name, spec.model.variant) == (2, "mine", "fp16")


def test_options_change_a_configuration_too() -> None:
    spec = SearchRequest("digits", (), {"images": 10, "bounds": "-1:2"}).spec()
    assert spec.experts is None and spec.name == "digits"
    assert spec.search.images == 10 and spec.search.bounds == (-1, 2)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SearchRequest("base", ("a.safetensors",)), ["--data"]),
        (SearchRequest("base"), ["YAML file", "--expert"]),
        (SearchRequest("digit"), ["Did you mean 'digits'", "--expert"]),
        (SearchRequest("my.yaml", ("a.safetensors",)), ["my.yaml", "experts:"]),
        (SearchRequest("cifar10", ("a.safetensors",)), ["recipe", "google/ddpm-cifar10-32"]),
        (SearchRequest("bas", ("a.safetensors",), {"data": "x"}), ["no base", "mean 'base'"]),
        (SearchRequest("base", ("a.safetensors",), {"bounds": "1"}), ["--bounds 1", "LOW:HIGH"]),
        (
            SearchRequest("base", ("a.safetensors",), {"data": "x", "strategy": "gird"}),
            ["search.strategy", "Did you mean 'grid'"],
        ),
        (SearchRequest("base", ("a.safetensors",), {}, ("seed",)), ["key=value"]),
    ],
)
def test_what_cannot_be_meant(here: Path, request_: SearchRequest, words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        request_.spec()
    assert all(word in str(raised.value) for word in words), raised.value


def test_bounds_and_objectives_as_typed() -> None:
    assert parse_bounds("-0.5:1.5") == [-0.5, 1.5]
    assert parse_objective("kid") == "kid"
    assert parse_objective("frechet=1, loss=0.5") == {"frechet": 1, "loss": 0.5}
    with pytest.raises(ConfigError, match="frechet=a"):
        parse_objective("frechet=a")
