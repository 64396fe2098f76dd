"""``search/result.json`` with types; older records, which say less, are read as well."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from ..errors import DataError
from .anchor_titles import anchor_title

SCALE = "scale"
"""The axis of the weight that all experts share."""
SAME = 1e-9
"""Coordinates closer than this are one: grid steps differ in the last bit."""


@dataclass(frozen=True)
class Axis:
    """One coordinate of the points: a merging weight, or something searched beside the weights."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Evaluated:
    """One candidate measured on a set of images.

    Attributes:
        point: a coordinate for each axis.
        value: lower is better; not a number where it was not finite.
        images: how many images it was measured on.
        cost: images drawn for it, in full sample sets.
        anchor: what a reader calls it where it is one that every search evaluates, else empty.
        predicted: what the strategy expected before it was measured, where it said so.

    """

    point: tuple[float, ...]
    value: float
    images: int
    cost: float
    anchor: str
    predicted: float | None


@dataclass(frozen=True)
class Fresh:
    """The winner on noise that the search never saw.

    Attributes:
        seed: of that noise, where known.
        value: its value there.
        optimism: ``value − value on the search's noise``; positive where the search flattered it.
        pretrained: the pretrained model's value on the same fresh noise, where measured.

    """

    seed: int | None
    value: float
    optimism: float
    pretrained: float | None


@dataclass(frozen=True)
class SearchRecord:
    """What a search did and found.

    Attributes:
        strategy: its name; empty in older records.
        merge_method: its name.
        objective: a name, or names with their coefficients.
        objectives: names of what ``pareto`` has values of, where the record has them.
        images: of a full sample set.
        experts: their names.
        axes: what the points' coordinates are.
        weights: for each expert a number, or a setting's short form.
        point: the winner.
        value: the winner's, on the search's noise.
        fresh: the winner on other noise, where measured.
        evaluations: in order, anchors first.
        standard_error: sampling deviation of one value, where known.
        against_zero: winner minus pretrained, its interval's ends, where known.
        pareto: points of the front and their values.
        protocol: how values were measured, in a line.

    """

    strategy: str
    merge_method: str
    objective: str | Mapping[str, float]
    objectives: tuple[str, ...]
    images: int
    experts: tuple[str, ...]
    axes: tuple[Axis, ...]
    weights: tuple[float | str, ...]
    point: tuple[float, ...]
    value: float
    fresh: Fresh | None
    evaluations: tuple[Evaluated, ...]
    standard_error: float | None
    against_zero: tuple[float, float, float] | None
    pareto: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    protocol: str

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From the JSON object.

        Raises:
            DataError: points that do not fit the axes, or something that every search writes is
                missing or of another kind.

        """
        try:
            return cls(**_fields(record))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"search/result.json is not what deme writes ({type(error).__name__}: {error})",
                fix="remove it and search again",
            ) from error

    @property
    def cost(self) -> float:
        """Images drawn for all evaluations, in full sample sets."""
        return math.fsum(item.cost for item in self.evaluations)

    @cached_property
    def full(self) -> tuple[Evaluated, ...]:
        """Evaluations with the most images: values of fewer are not comparable (FID's bias)."""
        most = max((item.images for item in self.evaluations), default=0)
        return tuple(item for item in self.evaluations if item.images == most)

    @property
    def anchors(self) -> tuple[Evaluated, ...]:
        """Those that every search evaluates."""
        return tuple(item for item in self.evaluations if item.anchor)

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The weights where each is one number; None where they differ by block."""
        found = tuple(item for item in self.weights if not isinstance(item, str))
        return found if len(found) == len(self.weights) else None

    @property
    def zero(self) -> tuple[float | None, ...]:
        """Where the pretrained model is on each axis; None on those that are no expert's weight."""
        return tuple(0.0 if axis.name in (*self.experts, SCALE) else None for axis in self.axes)

    @property
    def uniform(self) -> tuple[float | None, ...]:
        """Where all weights are 1/N on each axis; None on those that are no expert's weight."""
        names = (*self.experts, SCALE)
        return tuple(1 / len(self.experts) if axis.name in names else None for axis in self.axes)

    @property
    def beside_weights(self) -> tuple[tuple[str, float], ...]:
        """What was searched beside the weights, and what was found: a density, sampler steps."""
        pairs = zip(self.axes, self.point, strict=True)
        return tuple((axis.name, x) for axis, x in pairs if not self._is_weight(axis.name))

    def weights_at(self, point: Sequence[float]) -> dict[str, float]:
        """The experts' weights at a point; empty where they are not among its coordinates."""
        return _weights(point, self.axes, self.experts)

    def _is_weight(self, axis: str) -> bool:
        """Whether an axis is a merging weight: an expert's, one of its blocks', the common one."""
        if self.numbers is not None:
            return axis == SCALE or axis in self.experts
        return any(
            re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", axis) for name in self.experts
        )


def finite(value: float | None) -> float:
    """A number, or not a number for what JSON has for infinities and gaps."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    experts = tuple(map(str, record["experts"]))
    axes = _axes(record, experts)
    weights = tuple(item if isinstance(item, str) else float(item) for item in record["weights"])
    noise = record.get("noise") or {}
    zero = noise.get("against_zero")
    objective = record.get("objective", "value")
    return {
        "strategy": str(record.get("strategy") or ""),
        "merge_method": str(record.get("merge_method") or "task_arithmetic"),
        "objective": dict(objective) if isinstance(objective, Mapping) else str(objective),
        "objectives": tuple(map(str, record.get("objectives") or ())),
        "images": int(record.get("images") or 0),
        "experts": experts,
        "axes": axes,
        "weights": weights,
        "point": _point(record, len(axes)),
        "value": finite(record["value"]),
        "fresh": _fresh(record),
        "evaluations": _evaluations(record, axes, experts),
        "standard_error": noise.get("standard_error"),
        "against_zero": zero and tuple(float(zero[key]) for key in ("difference", "low", "high")),
        "pareto": tuple(
            (tuple(map(float, item["point"])), tuple(map(finite, item["values"])))
            for item in record.get("pareto") or ()
        ),
        "protocol": str(record.get("protocol") or ""),
    }


def _axes(record: Mapping[str, Any], experts: tuple[str, ...]) -> tuple[Axis, ...]:
    """The axes; in older records the experts, all with the same bounds."""
    if record.get("axes"):
        return tuple(
            Axis(str(axis["name"]), float(axis["low"]), float(axis["high"]))
            for axis in record["axes"]
        )
    low, high = map(float, record["bounds"])
    return tuple(Axis(name, low, high) for name in experts)


def _point(item: Mapping[str, Any], axes: int) -> tuple[float, ...]:
    """An item's point; in older records its weights."""
    point = tuple(map(float, item["point"] if "point" in item else item["weights"]))
    if len(point) != axes:
        raise DataError(f"The search's evaluations are not of {axes} weights or other numbers")
    return point


def _fresh(record: Mapping[str, Any]) -> Fresh | None:
    found = record.get("fresh")
    if not found or math.isnan(finite(found.get("value"))):
        return None
    value = float(found["value"])
    optimism = found.get("optimism", value - finite(record["value"]))
    pretrained = finite(found.get("pretrained"))
    known = None if math.isnan(pretrained) else pretrained
    return Fresh(found.get("seed"), value, float(optimism), known)


def _evaluations(
    record: Mapping[str, Any], axes: tuple[Axis, ...], experts: tuple[str, ...]
) -> tuple[Evaluated, ...]:
    """All evaluations; anchors that are only listed as such come first, each point once."""
    images = int(record.get("images") or 0)
    anchors = {_key(_point(item, len(axes))): item for item in record.get("anchors") or ()}
    evaluations = [(_point(item, len(axes)), item) for item in record["evaluations"]]
    known = {_key(point) for point, _ in evaluations}
    missing = [item for key, item in anchors.items() if key not in known]
    found = [*((_point(item, len(axes)), item) for item in missing), *evaluations]
    listed = [anchors.get(_key(point), None if anchors else {"name": ""}) for point, _ in found]
    titles = [
        "" if anchor is None else anchor_title(str(anchor["name"]), at, experts)
        for anchor, at in zip(listed, (_weights(p, axes, experts) for p, _ in found), strict=True)
    ]
    return tuple(
        Evaluated(
            point=point,
            value=finite(item["value"]),
            images=int(item.get("images") or images),
            cost=float(item.get("cost", 1.0)),
            anchor=title,
            predicted=_predicted(item),
        )
        for (point, item), title in zip(found, titles, strict=True)
    )


def _predicted(item: Mapping[str, Any]) -> float | None:
    predicted = finite((item.get("notes") or {}).get("predicted"))
    return None if math.isnan(predicted) else predicted


def _key(point: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(x / SAME) * SAME for x in point)


def _weights(
    point: Sequence[float], axes: Sequence[Axis], experts: Sequence[str]
) -> dict[str, float]:
    """The experts' weights at a point; empty where they are not among its coordinates."""
    at = {axis.name: x for axis, x in zip(axes, point, strict=True)}
    if SCALE in at:
        return {}
    return {name: at[name] for name in experts} if set(experts) <= set(at) else {}
