"""How much memory there is for decoded images."""

from __future__ import annotations

from pathlib import Path

_GIB = 2**30
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def fits_memory(size: int, limit_gb: float) -> bool:
    """Whether ``size`` bytes are within the limit (in 2³⁰ bytes) and half of the free memory.

    The other half is for the model; the cache is memory-mapped, so processes share it.
    """
    return size <= limit_gb * _GIB and size <= free_memory() // 2


def free_memory() -> int:
    """Bytes that can be had without swapping, and no more than the container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        return min(available, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # not in a container, or its limit is "max"
        return available
