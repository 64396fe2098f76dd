"""A parameter's value in a recipe: one for all tensors, a gradient over depth, or rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from ...errors import ConfigError
from ..places import TensorPlace
from .rule_check import check_rules
from .rules import Rule, at_depth, parse_amount

_RULES = TypeAdapter(list[Rule])


def _parse(value: Any) -> bool | float | str | list[float] | list[Rule]:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return value
    if isinstance(value, Mapping):
        raise ValueError("rules are a list: put a dash before each, as in `- value: 0.5`")
    if isinstance(value, list | tuple):
        rules = sum(isinstance(item, Mapping | Rule) for item in value)
        if 0 < rules < len(value):
            raise ValueError("mixes numbers (a gradient over depth) with rules; give either")
        if rules:
            return _RULES.validate_python(value)  # pydantic keeps where its errors are
    return parse_amount(value)


def _as_given(setting: bool | float | str | list[float] | list[Rule]) -> Any:
    if not isinstance(setting, list):
        return setting
    return [x.model_dump(exclude_none=True) if isinstance(x, Rule) else x for x in setting]


Setting = Annotated[
    bool | float | str | list[float] | list[Rule],
    PlainValidator(_parse),
    PlainSerializer(_as_given),
]
"""What a recipe may give for a parameter: a number, a truth value, a word, a gradient, or rules.

A gradient is a list of numbers at equal steps of the component's depth, with straight lines
between them (mergekit's meaning). Of rules, the first that matches a tensor gives its value.
"""


def resolve(setting: Setting, place: TensorPlace) -> bool | float | str:
    """The value of a parameter for one tensor.

    Raises:
        ConfigError: rules of which none is for this tensor.

    """
    if not isinstance(setting, list):
        return setting
    rules = _rules_of(setting)
    if not rules:
        return at_depth([item for item in setting if not isinstance(item, Rule)], place.depth)
    for rule in rules:
        if rule.matches(place):
            return rule.at(place.depth)
    raise ConfigError(
        f"No rule is for {place.name} of {place.component} (block {place.block}, section "
        f"{place.section}, kind {place.kind})",
        fix="end the list with a rule for all the rest, such as `- value: 0`",
    )


def resolve_number(setting: Setting, place: TensorPlace) -> float:
    """The value of a parameter for one tensor, where it must be a number.

    Raises:
        ConfigError: no rule is for this tensor, or the setting is a word or a truth value.

    """
    value = resolve(setting, place)
    if isinstance(value, bool | str):
        raise ConfigError(f"{value!r} is given where a number is needed")
    return value


def check_setting(setting: Setting, places: Iterable[TensorPlace]) -> None:
    """Checks that each rule does something: a mistyped name must not pass for one that is absent.

    Args:
        setting: the setting; what is not a list of rules passes.
        places: all tensors that there are, of all components (also of those that stay as they are,
            so that a rule may name them).

    Raises:
        ConfigError: a condition that no tensor meets, a name that can be read in two ways, or a
            rule whose tensors are all taken by rules before it.

    """
    if rules := _rules_of(setting):
        check_rules(rules, list(places))


def _rules_of(setting: Setting) -> list[Rule]:
    return [item for item in setting if isinstance(item, Rule)] if isinstance(setting, list) else []
