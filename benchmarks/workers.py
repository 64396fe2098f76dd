"""Candidates per minute with one worker and with several, on the bundled digits.

    python benchmarks/workers.py --output runs/bench --workers 2

Workers keep model, task vectors and detector; only weights travel to them. One worker is this
process itself. Both are warm, take turns and measure different candidates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

import torch
from search_bank import train

from deme.files import remove
from deme.runs import RunContext, RunStore, load_spec
from deme.runs.progress import Reporter
from deme.runs.stages.search import measure_candidate
from deme.search import Proposal

CANDIDATES = 12
REPEATS = 5


def open_run(folder: Path, workers: int) -> RunContext:
    """The run with so many workers of one thread each."""
    overrides = [f"runtime.workers={workers}", "runtime.threads=1"]
    spec = load_spec(str(folder / "spec.yaml"), overrides)
    context = RunContext(spec, RunStore(folder.parent, spec), Reporter(quiet=True))
    context.references[context.detectors[0].name].prepare()
    return context


def main() -> None:
    """Parses the options, measures, prints a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = train(args.output, 4, [])
    contexts = {count: open_run(folder, count) for count in (1, args.workers)}
    draws = torch.Generator().manual_seed(0)
    points = (tuple(torch.rand(4, generator=draws).tolist()) for _ in itertools.count())
    times: dict[int, list[float]] = {count: [] for count in contexts}
    for repeat in range(REPEATS + 1):
        for count, context in contexts.items():
            images = context.spec.search.images
            wanted = [Proposal(next(points), images) for _ in range(CANDIDATES)]
            started = time.perf_counter()
            for _ in context.workers.map(measure_candidate, wanted):
                pass
            if repeat:
                times[count].append(time.perf_counter() - started)
    for context in contexts.values():
        context.workers.close()
    remove(folder / "search")
    rates = {count: 60 * CANDIDATES / statistics.median(taken) for count, taken in times.items()}
    found = {
        "candidates_per_minute": {str(count): rate for count, rate in rates.items()},
        "times_one_worker": rates[args.workers] / rates[1],
    }
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for count, rate in rates.items():
        print(f"{count} workers: {rate:.1f} candidates a minute, {rate / rates[1]:.2f} times one")


if __name__ == "__main__":
    main()
