"""Importing this module registers every verb."""

from . import (
    compare,
    compress,
    decouple,
    doctor,
    evaluate,
    init,
    inspect,
    merge,
    pretrain,
    report,
    run,
    sample,
    search,
    statistics,
    unmerge,
)

__all__ = [
    "compare",
    "compress",
    "decouple",
    "doctor",
    "evaluate",
    "init",
    "inspect",
    "merge",
    "pretrain",
    "report",
    "run",
    "sample",
    "search",
    "statistics",
    "unmerge",
]
