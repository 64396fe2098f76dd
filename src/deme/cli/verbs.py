"""Importing this module registers every verb."""

from . import (
    compress,
    decouple,
    doctor,
    evaluate,
    init,
    inspect,
    merge,
    report,
    run,
    sample,
    search,
    statistics,
    unmerge,
)

__all__ = [
    "compress",
    "decouple",
    "doctor",
    "evaluate",
    "init",
    "inspect",
    "merge",
    "report",
    "run",
    "sample",
    "search",
    "statistics",
    "unmerge",
]
