from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from deme.config import Config, fields_at, parse_config, set_override
from deme.errors import ConfigError


class Sampler(Config):
    kind: Literal["ddim", "ddpm"] = "ddim"
    steps: int = Field(default=50, ge=1, le=1000)
    noise: int | list[tuple[int, int]] = 0


class Expert(Config):
    path: str
    weight: float = 1.0


class Whole(Config):
    name: str
    sampler: Sampler = Sampler()
    experts: list[Expert] | None = None
    named: dict[str, int] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _no_space(cls, name: str) -> str:
        if " " in name:
            raise ValueError("name must have no space.")
        return name


def message(values: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        parse_config(Whole, values)
    first, *lines = str(raised.value).splitlines()
    assert first == "The configuration is not valid:"
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"name": "x", "smapler": {}},
            "  smapler: unknown key. Did you mean 'sampler'? "
            "Valid keys here: experts, name, named, sampler.",
        ),
        (
            {"name": "x", "sampler": {"step": 3}},
            "  sampler.step: unknown key. Did you mean 'steps'? "
            "Valid keys here: kind, noise, steps.",
        ),
        (
            {"name": "x", "experts": [{"path": "a"}, {"path": "b", "wieght": 1}]},
            "  experts.1.wieght: unknown key. Did you mean 'weight'? "
            "Valid keys here: path, weight.",
        ),
        (
            {"name": "x", "zebra": 1},
            "  zebra: unknown key. Valid keys here: experts, name, named, sampler.",
        ),
        (
            {"name": "x", "sampler": {"kind": "DDIM"}},
            "  sampler.kind: must be one of ddim, ddpm (given: 'DDIM'). Did you mean 'ddim'?",
        ),
        ({}, "  name: required and not given. Fix: add it to the YAML, or --set name=…."),
        (
            {"name": "x", "experts": [{}]},
            "  experts.0.path: required and not given. "
            "Fix: add it to the YAML, or --set experts.0.path=….",
        ),
        (
            {"name": "x", "sampler": {"steps": 1001}},
            "  sampler.steps: Input should be less than or equal to 1000 (given: 1001).",
        ),
        (
            {"name": "x", "sampler": {"steps": "many"}},
            "  sampler.steps: Input should be a valid integer, unable to parse string as an "
            "integer (given: 'many').",
        ),
        (
            {"name": "x", "sampler": {"noise": "four"}},
            "  sampler.noise: Input should be a valid integer, unable to parse string as an "
            "integer (given: 'four').\n"
            "  sampler.noise: Input should be a valid list (given: 'four').",
        ),
        (
            {"name": "x", "experts": [{"path": "a", "weight": float("nan")}]},
            "  experts.0.weight: Input should be a finite number (given: nan).",
        ),
        (
            {"name": "x", "sampler": 3},
            "  sampler: must be a section of keys and values (given: 3).",
        ),
        ({"name": "a b"}, "  name: name must have no space (given: 'a b')."),
        (
            {"name": "x", "named": {"a": "b"}},
            "  named.a: Input should be a valid integer, unable to parse string as an integer "
            "(given: 'b').",
        ),
        (["name"], "  must be a section of keys and values (given: ['name'])."),
    ],
)
def test_a_message_teaches(values: Any, expected: str) -> None:
    assert message(values) == expected


def test_every_wrong_key_is_listed() -> None:
    found = message({"zebra": 1, "sampler": {"steps": 0, "kind": "pndm"}})
    assert [line.split(":")[0].strip() for line in found.splitlines()] == [
        "name",
        "sampler.kind",
        "sampler.steps",
        "zebra",
    ]


def test_valid_values_pass_and_are_frozen() -> None:
    config = parse_config(Whole, {"name": "x", "sampler": {"steps": 7}, "experts": [{"path": "a"}]})
    assert config.sampler.steps == 7 and config.experts == [Expert(path="a")]
    with pytest.raises(ValidationError, match="frozen"):
        config.sampler.steps = 8  # type: ignore[misc]


def test_fields_of_nested_classes_are_found_through_lists_and_options() -> None:
    assert fields_at(Whole, []) == {"name", "sampler", "experts", "named"}
    assert fields_at(Whole, ["sampler"]) == {"kind", "steps", "noise"}
    assert fields_at(Whole, ["experts", "3"]) == {"path", "weight"}
    assert fields_at(Whole, ["name"]) == set()


def test_an_override_reaches_any_depth() -> None:
    values: dict[str, Any] = {"a": {"b": 1, "c": 2}, "e": None, "l": [{"x": 1}, 5]}
    set_override(values, "a.b", 3)
    set_override(values, "d", 4)
    set_override(values, "e.f.g", 5)
    set_override(values, "l.0.x", 6)
    set_override(values, "l.1", 7)
    assert values == {
        "a": {"b": 3, "c": 2},
        "d": 4,
        "e": {"f": {"g": 5}},
        "l": [{"x": 6}, 7],
    }


@pytest.mark.parametrize(
    ("dotted", "expected"),
    [
        ("a.b", "--set a.b: a is 'text', not a section of keys and values."),
        ("s.n.b", "--set s.n.b: s.n is 3, not a section of keys and values."),
        ("l.2.x", "--set l.2.x: '2' is no entry of a list of 1. Choices: 0."),
        ("l.x", "--set l.x: 'x' is no entry of a list of 1. Choices: 0."),
    ],
)
def test_an_override_never_throws_away_what_is_there(dotted: str, expected: str) -> None:
    values: dict[str, Any] = {"a": "text", "l": [{}], "s": {"n": 3}}
    with pytest.raises(ConfigError) as raised:
        set_override(values, dotted, 1)
    assert str(raised.value) == expected
    assert values == {"a": "text", "l": [{}], "s": {"n": 3}}
