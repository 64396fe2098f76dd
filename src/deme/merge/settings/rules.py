"""Rules that give tensors a value by where they sit: ``{block: down, value: 0.5}``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, model_validator

from ...config import Config
from ..places import LayerKind, TensorPlace


def parse_number(value: Any) -> float:
    """A finite number; text that is one counts, since YAML takes ``1e-3`` for text.

    Raises:
        ValueError: anything else.

    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError("must be a number, or a list of numbers") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a finite number, or a list of them")
    return value


def parse_amount(value: Any) -> float | list[float]:
    """A number or a list of them.

    Raises:
        ValueError: anything else, or an empty list.

    """
    if not isinstance(value, list | tuple):
        return parse_number(value)
    if not value:
        raise ValueError("is an empty list; give numbers along the depth, such as [0, 0.5, 1]")
    return [parse_number(item) for item in value]


Amount = Annotated[
    float | list[float],
    PlainValidator(parse_amount),
    PlainSerializer(lambda value: value, return_type=Any),  # whole numbers stay whole
]
"""A number, or a gradient: numbers at equal steps of depth, with straight lines between them."""


class Rule(Config):
    """A value for the tensors that meet all of its conditions; without any, for all tensors."""

    component: str | None = None
    """The component's name: `unet`, `transformer`, `text_encoder`, …"""
    block: str | None = None
    """A block (`down_blocks.1`), what its name begins with at a dot (`down_blocks`), or a section
    (`input`, `down`, `mid`, `up`, `body`, `output`)."""
    kind: LayerKind | None = None
    """The kind of layer."""
    filter: str | None = None
    """Any part of the tensor's name."""
    match: str | None = None
    """The command line's short form: names of components, blocks, sections or kinds, joined by `+`,
    which must all hold."""
    value: Amount
    """A number; or a list of numbers, a gradient over the depth of the component."""

    @model_validator(mode="after")
    def _check_names(self) -> Rule:
        if not all(name.strip() for _, name in self.conditions):
            raise ValueError("a condition is empty; leave it out where it is to hold for all")
        return self

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """Pairs of what is asked for (the field that names it, or ``match``) and the name."""
        fields = {name: getattr(self, name) for name in ("component", "block", "kind", "filter")}
        terms = [] if self.match is None else self.match.split("+")
        named = [(asked, name) for asked, name in fields.items() if name is not None]
        return named + [("match", term) for term in terms]

    @property
    def text(self) -> str:
        """Its conditions as a message shows them."""
        return ", ".join(f"{asked}: {name}" for asked, name in self.conditions)

    def matches(self, place: TensorPlace) -> bool:
        """Whether the tensor meets all conditions."""
        return all(meets(place, asked, name) for asked, name in self.conditions)

    def at(self, depth: float) -> float:
        """The value at a depth in [0, 1]."""
        return at_depth(self.value, depth) if isinstance(self.value, list) else self.value


def meets(place: TensorPlace, asked: str, name: str) -> bool:
    """Whether a tensor meets one condition; see :attr:`Rule.conditions`."""
    return _CONDITIONS[asked](place, name)


def at_depth(values: Sequence[float], depth: float) -> float:
    """The gradient ``values`` at a depth in [0, 1]: straight lines between equal steps."""
    position = depth * (len(values) - 1)
    left = int(position)
    right = min(left + 1, len(values) - 1)
    return values[left] + (position - left) * (values[right] - values[left])


def _in_block(place: TensorPlace, name: str) -> bool:
    return name in (place.section, place.block) or place.block.startswith(f"{name}.")


_CONDITIONS: dict[str, Callable[[TensorPlace, str], bool]] = {
    "component": lambda place, name: place.component == name,
    "block": _in_block,
    "kind": lambda place, name: place.kind == name,
    "filter": lambda place, name: name in place.name,
    "match": lambda place, name: name in (place.component, place.kind) or _in_block(place, name),
}
