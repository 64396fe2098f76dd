"""Whether each rule does something in the model that it is for."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ConfigError, nearest
from ..places import TensorPlace
from .rules import Rule, meets

READINGS = ("component", "block", "kind")
"""What a name of the command line's short form may be of."""


def check_rules(rules: Sequence[Rule], places: Sequence[TensorPlace]) -> None:
    """Checks rules in their order; see :func:`.settings.check_setting`.

    Args:
        rules: of which the first that matches a tensor counts.
        places: all tensors that there are, of all components.

    Raises:
        ConfigError: a condition that no tensor meets, a name that can be read in two ways, or a
            rule whose tensors are all taken by rules before it.

    """
    left = list(places)
    for number, rule in enumerate(rules, start=1):
        said = f"Rule {number} ({rule.text})" if rule.conditions else f"Rule {number}"
        for asked, name in rule.conditions:
            _require_known(said, asked, name, places)
            if asked == "match":
                _require_one_reading(said, name, places)
        if not any(map(rule.matches, places)):
            raise ConfigError(
                f"{said}: no tensor meets all conditions, though each is met by some",
                fix="leave one of them out",
            )
        if rule.conditions and not any(map(rule.matches, left)):
            raise ConfigError(
                f"{said} never applies: the rules before it take all its tensors, and the first "
                "that matches counts",
                fix="put it before them",
            )
        left = [place for place in left if not rule.matches(place)]


def _require_known(said: str, asked: str, name: str, places: Sequence[TensorPlace]) -> None:
    if any(meets(place, asked, name) for place in places):
        return
    if asked == "filter":
        raise ConfigError(
            f"{said}: no tensor has {name!r} in its name",
            fix="give a part of a tensor's name, such as to_q or time_emb",
        )
    nouns = READINGS if asked == "match" else (asked,)
    known = {noun: _names(noun, places) for noun in nouns}
    near = nearest(name, [one for names in known.values() for one in names])
    hint = f" Did you mean {near!r}?" if near else ""
    raise ConfigError(
        f"{said}: there is no {' or '.join(nouns)} {name!r} here.{hint}",
        choices=[short for names in known.values() for short in _shortened(names)],
    )


def _require_one_reading(said: str, name: str, places: Sequence[TensorPlace]) -> None:
    readings = [noun for noun in READINGS if any(meets(place, noun, name) for place in places)]
    if len(readings) > 1:
        raise ConfigError(
            f"{said}: {name!r} names a {' and a '.join(readings)}",
            choices=[f"{noun}:{name}" for noun in readings],
            fix="say which is meant",
        )


def _names(noun: str, places: Sequence[TensorPlace]) -> list[str]:
    """The components, blocks (sections first) or kinds that there are, as a network runs."""
    if noun != "block":
        return sorted({getattr(place, noun) for place in places})
    ordered = sorted(places, key=lambda place: place.depth)
    sections = dict.fromkeys(place.section for place in ordered)
    return list(dict.fromkeys([*sections, *(place.block for place in ordered)]))


def _shortened(names: Sequence[str]) -> list[str]:
    """The names, with ``down_blocks.0``, ``down_blocks.1``, … as ``down_blocks.0–3``."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        container, _, number = name.rpartition(".")
        if number.isdecimal():
            numbers.setdefault(container, []).append(int(number))
        else:
            numbers[name] = []
    return [
        f"{name}.{min(found)}–{max(found)}"
        if len(found) > 1
        else f"{name}.{found[0]}"
        if found
        else name
        for name, found in numbers.items()
    ]
