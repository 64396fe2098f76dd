"""Full float32 on a GPU: TF32 rounds the inputs of products to 10 bits and changes features."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Inside, convolutions and matrix products neither use TF32 nor autocast.

    What was set before is put back afterwards, so a training loop beside it keeps its speed.
    """
    switches = _switches()
    before = [getattr(holder, name) for holder, name, _ in switches]
    try:
        for holder, name, exact in switches:
            setattr(holder, name, exact)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (holder, name, _), value in zip(switches, before, strict=True):
            setattr(holder, name, value)


def _switches() -> list[tuple[Any, str, Any]]:
    """PyTorch's switches with their exact values; mixing the older and newer kinds is an error."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(cudnn, "conv") and hasattr(matmul, "fp32_precision"):
        return [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
