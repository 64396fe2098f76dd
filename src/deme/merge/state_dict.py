"""A model's weights, by name. Points in weight space, not differences of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..errors import MismatchError

SHOWN = 6


class StateDict(Mapping[str, Tensor]):
    """Named tensors of one model, in the order of their names.

    Args:
        tensors: by name; they are shared, not copied.
        origin: where they came from, for messages.

    """

    def __init__(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        self._tensors = {name: tensors[name].detach() for name in sorted(tensors)}
        self.origin = origin

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in self._tensors.items():
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            raw = tensor.cpu().contiguous().flatten().view(torch.uint8)
            digest.update(raw.numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device) -> StateDict:
        """The same weights on ``device``."""
        moved = {name: tensor.to(device) for name, tensor in self._tensors.items()}
        return StateDict(moved, self.origin)

    def require_same_layout(self, other: StateDict) -> None:
        """Checks that keys, shapes and dtypes agree.

        Raises:
            MismatchError: listing what differs.

        """
        problems = [f"{name}: only in {self.origin}" for name in self if name not in other]
        problems += [f"{name}: only in {other.origin}" for name in other if name not in self]
        for name in self:
            if name not in other:
                continue
            mine, theirs = self[name], other[name]
            if mine.shape != theirs.shape:
                problems.append(f"{name}: shape {tuple(mine.shape)} against {tuple(theirs.shape)}")
            elif mine.dtype != theirs.dtype:
                problems.append(f"{name}: dtype {mine.dtype} against {theirs.dtype}")
        if problems:
            more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            listed = "\n  ".join(problems[:SHOWN])
            raise MismatchError(
                f"{self.origin} and {other.origin} differ in {len(problems)} of "
                f"{len(set(self) | set(other))} tensors:\n  {listed}{more}",
                fix="give experts that were finetuned from this very base, saved in one dtype",
            )
