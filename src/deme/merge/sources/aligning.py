"""Bringing an expert's weights to the base's own names and shapes, or saying why not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import MismatchError
from .contract import TensorInfo, WeightSource
from .families import describe_layout
from .names import match_names

SHOWN = 6
TIED_AT_MOST = 16
"""So many tensors without a partner may be second copies of others; more are another model."""


class AlignedWeights(WeightSource):
    """An expert's weights under the base's names, in the base's shapes."""

    def __init__(
        self, inner: WeightSource, names: Mapping[str, str], base: Mapping[str, TensorInfo]
    ) -> None:
        self._inner, self._names = inner, dict(names)
        self.origin, self.files = inner.origin, inner.files
        self.layout = {
            name: TensorInfo(base[name].shape, inner.layout[theirs].dtype)
            for name, theirs in sorted(self._names.items())
        }

    def read(self, name: str) -> Tensor:
        """The tensor as the expert stores it; see :meth:`WeightSource.read`."""
        return self._inner.read(self._names[name]).reshape(self.layout[name].shape)


def align_weights(expert: WeightSource, base: WeightSource) -> WeightSource:
    """The expert under the base's names.

    Names may be those of older or newer versions of the libraries, shapes may have trailing ones
    more or less (a 1×1 convolution is a linear layer). Buffers of integers, and second copies of
    tied weights, may be missing on either side.

    Raises:
        MismatchError: another architecture; the message lists what differs.

    """
    names = match_names(base.layout, expert.layout)
    only_base = [name for name in base.layout if name not in names]
    taken = set(names.values())
    only_expert = [name for name in expert.layout if name not in taken]
    shapes = [
        name
        for name, theirs in names.items()
        if _kind(base.layout[name]) != _kind(expert.layout[theirs])
    ]
    only_base = _numbers(only_base, base)
    only_expert = _numbers(only_expert, expert)
    if not shapes and 0 < len(only_base) + len(only_expert) <= TIED_AT_MOST:
        for name in list(only_base):
            twin = _twin(name, names, base)
            if twin is not None:
                names[name] = names[twin]
                only_base.remove(name)
        only_expert = [name for name in only_expert if _twin(name, taken, expert) is None]
    if only_base or only_expert or shapes:
        raise MismatchError(
            _explain(expert, base, names, only_base, only_expert, shapes),
            fix="give experts that were finetuned from this very base",
        )
    if all(name == theirs for name, theirs in names.items()) and _same_shapes(expert, base, names):
        return expert
    return AlignedWeights(expert, names, base.layout)


def _same_shapes(expert: WeightSource, base: WeightSource, names: Mapping[str, str]) -> bool:
    return len(names) == len(expert.layout) and all(
        base.layout[name].shape == expert.layout[name].shape for name in names
    )


def _kind(info: TensorInfo) -> tuple[tuple[int, ...], bool]:
    shape = info.shape
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape, info.dtype.is_floating_point


def _numbers(names: list[str], source: WeightSource) -> list[str]:
    """Without buffers of integers, such as positions, which libraries save or leave out."""
    return [name for name in names if source.layout[name].dtype.is_floating_point]


def _twin(name: str, among: Mapping[str, str] | set[str], source: WeightSource) -> str | None:
    """Another of the source's tensors that holds the same numbers: one weight in two places."""
    info = source.layout[name]
    same = [other for other in sorted(among) if source.layout[other] == info and other != name]
    return next((one for one in same if torch.equal(source.read(one), source.read(name))), None)


def _said(info: TensorInfo) -> str:
    return f"shape {info.shape}" if info.dtype.is_floating_point else f"{info.dtype} {info.shape}"


def _explain(
    expert: WeightSource,
    base: WeightSource,
    names: Mapping[str, str],
    only_base: list[str],
    only_expert: list[str],
    shapes: list[str],
) -> str:
    problems = [
        f"{name!r}: {_said(base.layout[name])} against {_said(expert.layout[names[name]])}"
        for name in shapes
    ]
    # some of each kind, so that no kind hides the others
    missing = [f"{name!r}: only in {base.origin}" for name in only_base]
    unknown = [f"{name!r}: only in {expert.origin}" for name in only_expert]
    kinds = [kind for kind in (problems, missing, unknown) if kind]
    shown = [line for kind in kinds for line in kind[: SHOWN // len(kinds)]]
    count = sum(map(len, kinds))
    more = f"\n  and {count - len(shown)} more" if count > len(shown) else ""
    looks, other = describe_layout(expert.layout), describe_layout(base.layout)
    family = (
        f"{expert.origin} looks like {looks}; the base looks like {other}"
        if looks != other
        else f"Both look like {other}, of other sizes or parts"
    )
    return (
        f"{expert.origin} and {base.origin} differ in {len(shapes)} shapes, {len(only_base)} "
        f"tensors are only in the base and {len(only_expert)} only in the expert:\n  "
        + "\n  ".join(shown)
        + f"{more}\n{family}"
    )
