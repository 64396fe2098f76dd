"""What a weight for each block and expert gains over a weight for each expert, and at what cost.

    python benchmarks/blocks.py --output runs/bench           # about ten minutes

On the bundled digits with four experts: the surface over four weights, then from there outwards
over one weight for each block and expert. Both ends are judged on held-out noise, paired.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from search_bank import HELD_OUT_SEEDS, SEARCH_SEED, Bank, Drawer, train

from deme.search import (
    Candidate,
    Evaluation,
    OutwardStrategy,
    Proposal,
    ScaledAnchors,
    SurfaceStrategy,
)

RADIUS = 0.3


def strategy(bank: Bank) -> OutwardStrategy:
    """As a run with ``search.per: block`` builds it."""
    space, coarse = bank.space, bank.space.coarse()
    experts = len(space.experts)
    inner = ScaledAnchors(
        SurfaceStrategy(coarse.box, bank.objective),
        bank.objective,
        coarse.box,
        (0.0,) * experts,
        coarse.units,
    )
    fine = SurfaceStrategy(space.box, bank.objective, radius=RADIUS)
    return OutwardStrategy(inner, space.lifted, lambda point: point[:experts], fine)


def run(bank: Bank, drawer: Drawer) -> tuple[list[Evaluation], int]:
    """All evaluations, and how many of them were of whole experts."""
    search = strategy(bank)
    found: list[Evaluation] = []

    def evaluate(proposals: list[Proposal]) -> list[Evaluation]:
        drawer.draw([proposal.candidate for proposal in proposals], [SEARCH_SEED])
        told = [bank.evaluation(proposal) for proposal in proposals]
        found.extend(told)
        return told

    search.begin(evaluate([Proposal(anchor) for anchor in bank.space.anchors().values()]))
    whole = len(found)
    while proposals := search.ask():
        search.tell(evaluate(proposals))
        if not search.outside:
            whole = len(found)
    return found, whole


def judged(bank: Bank, drawer: Drawer, candidate: Candidate) -> list[float]:
    """Values on held-out noise."""
    drawer.draw([candidate], HELD_OUT_SEEDS)
    return bank.held_out(candidate)


def main() -> None:
    """Parses the options, searches, prints a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    parser.add_argument("--images", type=int, default=1796)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bank = Bank(train(args.output, 4, []), 20, args.images, blocks=True)
    with Drawer(bank, args.workers) as drawer:
        found, whole = run(bank, drawer)
        ends = {
            "pretrained": found[0],
            "experts": min(found[:whole], key=lambda item: item.value),
            "blocks": min(found, key=lambda item: item.value),
        }
        held = {name: judged(bank, drawer, item.candidate) for name, item in ends.items()}
    gains = [a - b for a, b in zip(held["blocks"], held["experts"], strict=True)]
    result: dict[str, Any] = {
        "axes": len(bank.space.axes),
        "images": args.images,
        "evaluations": {"experts": whole, "blocks": len(found) - whole},
        "search": {name: item.value for name, item in ends.items()},
        "held_out": held,
        "blocks_minus_experts": [statistics.fmean(gains), statistics.stdev(gains)],
        "weights": {name: item.candidate for name, item in ends.items()},
    }
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"{result['axes']} weights; sets: {whole} of experts, then {len(found) - whole} of blocks"
    )
    for name, item in ends.items():
        mean, deviation = statistics.fmean(held[name]), statistics.stdev(held[name])
        print(f"{name:<12} search {item.value:.2f}   held out {mean:.2f} ± {deviation:.2f}")
    print(f"blocks minus experts, paired: {gains_text(gains)}")


def gains_text(gains: list[float]) -> str:
    """Mean and deviation."""
    return f"{statistics.fmean(gains):+.2f} ± {statistics.stdev(gains):.2f}"


if __name__ == "__main__":
    main()
