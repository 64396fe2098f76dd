"""Fair timing for the benchmarks: interleaved, repeated, medians, ratios."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping

Rows = dict[str, dict[str, float]]


def interleaved(
    contestants: Mapping[str, Callable[[], object]], repeats: int = 5
) -> dict[str, float]:
    """Median seconds of each, run in turn (A B C A B C …) after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(repeats + 1):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if round_number:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def against(peer: str, medians: Mapping[str, float]) -> Rows:
    """Seconds and the ratio to the peer's, for each."""
    return {
        name: {"seconds": seconds, f"times {peer}": seconds / medians[peer]}
        for name, seconds in medians.items()
    }


def show(title: str, rows: Rows) -> None:
    """Prints a table, or JSON with ``--json``."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true")
    if parser.parse_args().json:
        print(json.dumps({"title": title, "rows": rows}, indent=2))
        return
    print(title)
    for name, columns in rows.items():
        cells = "  ".join(f"{key} {value:.4g}" for key, value in columns.items())
        print(f"  {name:<34}{cells}")
