"""Randomness derived from its meaning, not from history.

Every random draw has a seed made of (seed, purpose, step, rank, …). So a resumed run needs no
generator state, an image depends on its own index alone, and the split over processes changes
nothing.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *meaning: str | int) -> int:
    """A 63-bit seed from a base seed and what it is for, equal on every platform."""
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in meaning)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *meaning: str | int) -> torch.Generator:
    """A CPU generator seeded with :func:`derive_seed`.

    It is always on the CPU, so that a run on another device sees the same numbers.
    """
    return torch.Generator().manual_seed(derive_seed(seed, *meaning))


def noise_like_image(seed: int, index: int, shape: tuple[int, ...], purpose: str) -> Tensor:
    """Standard normal noise of ``shape`` for image ``index``: one seed per image."""
    return torch.randn(shape, generator=generator(seed, purpose, index))
