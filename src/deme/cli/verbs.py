"""Importing this module registers every verb."""

from . import decouple, doctor, evaluate, init, merge, report, run, sample, search, statistics

__all__ = [
    "decouple",
    "doctor",
    "evaluate",
    "init",
    "merge",
    "report",
    "run",
    "sample",
    "search",
    "statistics",
]
