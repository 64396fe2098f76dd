from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import Field

from deme.config import Config, parse_config
from deme.errors import ConfigError
from deme.merge.places import TensorPlace, places_of
from deme.merge.settings import (
    Setting,
    check_setting,
    format_setting,
    parse_setting,
    resolve,
    resolve_number,
)
from merge.tiny_networks import clip_text, stable_diffusion_1


class Parameters(Config):
    weight: Setting = 1.0
    parameters: dict[str, Setting] = Field(default_factory=dict)


def from_yaml(text: str) -> Setting:
    return parse_config(Parameters, {"weight": yaml.safe_load(text)}).weight


@pytest.fixture(scope="module")
def places() -> list[TensorPlace]:
    """Of a U-Net and its text encoder."""
    unet, _ = stable_diffusion_1()
    text_encoder, _ = clip_text()
    found = places_of("unet", unet.state_dict())
    return [*found.values(), *places_of("text_encoder", text_encoder.state_dict()).values()]


def at(places: list[TensorPlace], name: str) -> TensorPlace:
    return next(place for place in places if place.name == name)


QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
TIME = "down_blocks.1.resnets.0.time_emb_proj.weight"


def test_numbers_truth_values_and_words_are_the_same_for_all(places: list[TensorPlace]) -> None:
    for text, value in (("0.3", 0.3), ("-2", -2), ("true", True), ("frequency", "frequency")):
        setting = from_yaml(text)
        check_setting(setting, places)
        found = resolve(setting, places[0])
        assert found == value and type(found) is type(value)
    assert from_yaml("1e-3") == 0.001  # PyYAML takes it for text


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_gradient_is_linear_interpolation_over_depth(
    count: int, places: list[TensorPlace]
) -> None:
    values = np.random.default_rng(count).normal(size=count).tolist()
    setting = from_yaml(str(values))
    for place in places:
        expected = np.interp(place.depth, np.linspace(0, 1, count), values)
        assert resolve(setting, place) == pytest.approx(expected)


def test_the_first_rule_that_matches_counts(places: list[TensorPlace]) -> None:
    setting = from_yaml("""
        - {component: text_encoder, value: 0}
        - {block: down, kind: attention, value: [0.0, 0.5, 1.0]}
        - {filter: "time_emb", value: 0.1}
        - {block: up_blocks, value: 0.3}
        - {value: 0.2}
    """)
    check_setting(setting, places)
    for place in places:
        if place.component == "text_encoder":
            expected = 0.0
        elif place.section == "down" and place.kind == "attention":
            expected = place.depth
        elif "time_emb" in place.name:
            expected = 0.1
        else:
            expected = 0.3 if place.section == "up" else 0.2
        assert resolve(setting, place) == pytest.approx(expected), place


def test_a_block_is_meant_whole_or_at_a_dot(places: list[TensorPlace]) -> None:
    for block, meant in (
        ("down_blocks.1", {"down_blocks.1"}),
        ("down_blocks", {f"down_blocks.{number}" for number in range(4)}),
        ("layers.1", {"layers.1"}),  # not layers.10
        ("output", {"conv_norm_out", "conv_out", "final_layer_norm", "text_projection"}),
        ("mid_block", {"mid_block"}),
    ):
        setting = from_yaml(f"[{{block: {block}, value: 1}}, {{value: 0}}]")
        check_setting(setting, places)
        assert {place.block for place in places if resolve(setting, place)} == meant


def test_a_tensor_without_a_rule_is_named_with_the_fix(places: list[TensorPlace]) -> None:
    setting = from_yaml("[{kind: attention, value: 1}]")
    check_setting(setting, places)
    assert resolve(setting, at(places, QUERY)) == 1
    expected = (
        f"No rule is for {TIME} of unet (block down_blocks.1, section down, kind projection). "
        "Fix: end the list with a rule for all the rest, such as `- value: 0`."
    )
    with pytest.raises(ConfigError, match=re.escape(expected)):
        resolve(setting, at(places, TIME))


def test_a_word_is_no_number(places: list[TensorPlace]) -> None:
    assert resolve_number(0.5, places[0]) == 0.5
    for given in ("frequency", True):
        with pytest.raises(ConfigError, match="given where a number is needed"):
            resolve_number(given, places[0])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "[{block: down_block.1, value: 1}]",
            "Rule 1 (block: down_block.1): there is no block 'down_block.1' here. Did you mean "
            "'down_blocks.1'? Choices: input, ",
        ),
        (
            "[{value: 0}, {component: text_encoder_2, value: 1}]",
            "Rule 2 (component: text_encoder_2): there is no component 'text_encoder_2' here. "
            "Did you mean 'text_encoder'? Choices: text_encoder, unet.",
        ),
        (
            "[{block: down_blocks.1.attentions, value: 1}]",
            "down_blocks.0–3, ",
        ),
        (
            "[{kind: other, value: 1}]",
            "there is no kind 'other' here. Choices: attention, embedding, feed_forward, norm, ",
        ),
        (
            "[{filter: time_embd, value: 1}]",
            "Rule 1 (filter: time_embd): no tensor has 'time_embd' in its name. Fix: ",
        ),
        (
            "[{component: text_encoder, kind: resnet, value: 1}]",
            "Rule 1 (component: text_encoder, kind: resnet): no tensor meets all conditions, "
            "though each is met by some. Fix: leave one of them out.",
        ),
        (
            "[{block: down, value: 1}, {block: down_blocks.2, value: 2}, {value: 0}]",
            "Rule 2 (block: down_blocks.2) never applies: the rules before it take all its "
            "tensors, and the first that matches counts. Fix: put it before them.",
        ),
        (
            "[{match: downs, value: 1}]",
            "there is no component or block or kind 'downs' here. Did you mean 'down'?",
        ),
    ],
)
def test_a_rule_that_does_nothing_is_an_error(
    rules: str, message: str, places: list[TensorPlace]
) -> None:
    setting = from_yaml(rules)
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_setting(setting, places)


def test_rules_for_all_the_rest_may_find_nothing_left(places: list[TensorPlace]) -> None:
    both = "{component: unet, value: 1}, {component: text_encoder, value: 2}"
    check_setting(from_yaml(f"[{both}, {{value: 0}}]"), places)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [{"blok": "down", "value": 1}],
            "  weight.0.blok: unknown key. Did you mean 'block'? Valid keys here: block, "
            "component, filter, kind, match, value.",
        ),
        ([{"kind": "attention"}], "  weight.0.value: required and not given."),
        (
            [{"value": 1}, {"kind": "atention", "value": 1}],
            "  weight.1.kind: must be one of attention, resnet, norm, feed_forward, projection, "
            "embedding, resample, other (given: 'atention'). Did you mean 'attention'?",
        ),
        ([{"value": "much"}], "  weight.0.value: must be a number, or a list of numbers (given:"),
        ([{"value": []}], "  weight.0.value: is an empty list; give numbers along the depth"),
        ([{"block": "", "value": 1}], "  weight.0: a condition is empty"),
        ([], "  weight: is an empty list"),
        ([0.5, {"value": 1}], "  weight: mixes numbers (a gradient over depth) with rules"),
        ({"value": 1}, "  weight: rules are a list: put a dash before each, as in `- value: 0.5`"),
        ([0.5, True], "  weight: must be a finite number"),
        (float("nan"), "  weight: must be a finite number"),
        (None, "  weight: must be a finite number"),
    ],
)
def test_what_is_no_setting_is_told_where_it_stands(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(Parameters, {"weight": given})
    inner = message.replace("  weight", "  parameters.density")
    with pytest.raises(ConfigError, match=re.escape(inner)):
        parse_config(Parameters, {"parameters": {"density": given}})


def test_a_recipe_survives_being_written() -> None:
    given = [{"block": "down", "kind": "norm", "value": [0, 1]}, {"value": 0.5}]
    first = parse_config(Parameters, {"weight": given, "parameters": {"sign": "total"}})
    text = yaml.safe_dump(first.model_dump(mode="json", exclude_defaults=True))
    assert parse_config(Parameters, yaml.safe_load(text)) == first
    assert yaml.safe_load(text)["weight"] == given


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("0.3", "0.3"),
        ("-1e-2", "-0.01"),
        ("0:0.5:1", "[0, 0.5, 1]"),
        ("true", "true"),
        ("frequency", "frequency"),
        (
            "0.3,attention=0.1,down=0.5,text_encoder=0,filter:time_emb=0.2",
            """
            - {kind: attention, value: 0.1}
            - {block: down, value: 0.5}
            - {component: text_encoder, value: 0}
            - {filter: time_emb, value: 0.2}
            - {value: 0.3}
            """,
        ),
        (
            "down+norm=-1:1, component:unet+up_blocks.1=2, layers=3, kind:resnet+block:mid=4, 0",
            """
            - {block: down, kind: norm, value: [-1, 1]}
            - {component: unet, block: up_blocks.1, value: 2}
            - {block: layers, value: 3}
            - {kind: resnet, block: mid, value: 4}
            - {value: 0}
            """,
        ),
    ],
)
def test_the_short_form_means_the_same(short: str, long: str, places: list[TensorPlace]) -> None:
    given, expected = parse_setting(short), from_yaml(long)
    for place in places:
        assert resolve(given, place) == resolve(expected, place)


def test_names_of_the_short_form_are_looked_up(places: list[TensorPlace]) -> None:
    check_setting(parse_setting("attention=0.1,down=0.5,text_encoder=0,0.2"), places)
    both = [*places, *places_of("attention", ["conv_in.weight"]).values()]
    with pytest.raises(ConfigError, match=re.escape("'attention' names a component and a kind")):
        check_setting(parse_setting("attention=0.1"), both)
    check_setting(parse_setting("kind:attention=0.1,component:attention=1"), both)
    with pytest.raises(ConfigError, match="Did you mean 'attention'"):
        check_setting(parse_setting("atention=0.1"), places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a number"),
        ("0.3x", "'0.3x' is not a number"),
        ("0.3,0.4", "gives two values for all the rest"),
        ("down=", "'' is not a number"),
        ("=1", "a name is missing"),
        ("down+=1", "a name is missing"),
        ("down=1,total", "'total' is not a number"),
        ("down=inf", "'inf' is not a number"),
        ("blok:down=1", "unknown condition 'blok'. Did you mean 'block'?"),
        ("block:down+block:up=1", "block is given twice for one value"),
        ("kind:atention=1", "must be one of attention, "),
    ],
)
def test_a_short_form_that_is_none_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_setting(text)


@pytest.mark.parametrize(
    "text",
    ["0.3", "0:0.5:1", "attention=0.1,0.3", "down+norm=0:1,filter:time_emb=0.2,0", "frequency"],
)
def test_a_setting_is_shown_as_it_may_be_typed(text: str) -> None:
    assert format_setting(parse_setting(text)) == text
