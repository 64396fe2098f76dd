"""How well a few sample sets predict the distance of merges that were never sampled.

    python benchmarks/prediction.py --output runs/bench           # after benchmarks/search.py

Predictions of 50 random weight vectors from designs of N + 1 and of (N + 1)(N + 2)/2 sets: by the
moments (what the surface does), by each image's features, and by the score itself, all with the
same coefficients. Against N, the number of images and the sampler's steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from search_bank import Bank, Drawer, train

from deme.search import Candidate, Evaluation, MomentSurface, Proposal, prediction_quality

POINTS = 50
POSITIVE, SIGNED = (0.0, 1.0), (-1.5, 1.5)
Result = dict[str, Any]
Bounds = tuple[float, float]


def random_points(bank: Bank, bounds: Bounds) -> list[Candidate]:
    """Weight vectors that no design has."""
    draws = torch.Generator().manual_seed(11)
    low, high = bounds
    points = torch.rand(POINTS, len(bank.experts), generator=draws).double()
    return [tuple(round(x, 6) for x in row) for row in (low + (high - low) * points).tolist()]


def linear_design(bank: Bank) -> list[Candidate]:
    """Zero and each expert alone: N + 1 sets."""
    return list(bank.space.anchors().values())[: len(bank.experts) + 1]


def quadratic_design(bank: Bank, drawer: Drawer, bounds: Bounds, images: int) -> list[Candidate]:
    """The anchors and then, one by one, where the fit to them knows least."""
    anchors = list(bank.space.anchors().values())
    drawer.draw(anchors, [bank.seed])
    surface = MomentSurface(bank.objective, bank.space.units)
    for anchor in anchors:
        surface.add(cut(bank, bank.evaluation(Proposal(anchor)), images))
    count = (len(bank.experts) + 1) * (len(bank.experts) + 2) // 2
    engine = torch.quasirandom.SobolEngine(len(bank.experts), scramble=True, seed=5)
    pool = bounds[0] + (bounds[1] - bounds[0]) * engine.draw(1024, dtype=torch.float64)
    chosen: list[Candidate] = []
    while len(anchors) + len(chosen) < count:
        smoother = surface.smoother
        if chosen:
            smoother = smoother.knowing(torch.tensor(chosen, dtype=torch.float64))
        place = pool[int(smoother.variance(pool).argmax())]
        chosen.append(tuple(round(x, 6) for x in place.tolist()))
    return [*anchors, *chosen]


def cut(bank: Bank, evaluation: Evaluation, images: int) -> Evaluation:
    """The same of the first images only."""
    tables = {name: table[:images] for name, table in evaluation.tables.items()}
    value = float(bank.objective.value(tables))
    return Evaluation(evaluation.candidate, images, (value,), tables)


def quality(bank: Bank, drawer: Drawer, bounds: Bounds, images: int) -> Result:
    """Rank correlation and error by design and by what is predicted."""
    wanted = random_points(bank, bounds)
    found: Result = {}
    designs = {
        "linear": linear_design(bank),
        "quadratic": quadratic_design(bank, drawer, bounds, images),
    }
    drawer.draw([*wanted, *designs["linear"], *designs["quadratic"]], [bank.seed])
    real = [cut(bank, bank.evaluation(Proposal(item)), images).value for item in wanted]
    for name, candidates in designs.items():
        sets = [cut(bank, bank.evaluation(Proposal(item)), images) for item in candidates]
        found[name] = {"points": len(sets), **_by_all(bank, sets, wanted, real)}
    return found


def _by_all(
    bank: Bank, sets: list[Evaluation], wanted: list[Candidate], real: list[float]
) -> Result:
    surface = MomentSurface(bank.objective, bank.space.units)
    for item in sets:
        surface.add(item)
    points = torch.tensor(wanted, dtype=torch.float64)
    with torch.no_grad():
        coefficients = surface.smoother.coefficients(points)
        moments = surface.predict(points).tolist()
    values = torch.tensor([item.value for item in sets], dtype=torch.float64)
    name = bank.detector.name
    features = torch.stack([item.tables[name].double() for item in sets])
    by_image = [
        float(bank.objective.value({name: torch.einsum("j,jnd->nd", row, features)}))
        for row in coefficients
    ]
    predicted = {
        "moments": moments,
        "features": by_image,
        "score": (coefficients @ values).tolist(),
    }
    return {
        how: prediction_quality(list(zip(row, real, strict=True))) for how, row in predicted.items()
    }


def main() -> None:
    """Parses the options and prints a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cases = [
        (2, 898, 20, POSITIVE),
        (4, 898, 20, POSITIVE),
        (8, 898, 20, POSITIVE),
        (2, 898, 20, SIGNED),
        (4, 898, 20, SIGNED),
        (8, 898, 20, SIGNED),
        (4, 225, 20, SIGNED),
        (4, 449, 20, SIGNED),
        (4, 898, 10, SIGNED),
        (4, 898, 50, SIGNED),
    ]
    rows: list[Result] = []
    for ranges, images, steps, bounds in cases:
        bank = Bank(train(args.output, ranges, []), steps, 898)
        with Drawer(bank, args.workers) as drawer:
            case = {"ranges": ranges, "images": images, "steps": steps, "bounds": bounds}
            rows.append({**case, **quality(bank, drawer, bounds, images)})
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print("| N | images | steps | bounds | design | moments | features | score |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        for design in ("linear", "quadratic"):
            cells = " | ".join(
                f"{row[design][how]['rank_correlation']:.3f}, {row[design][how]['rmse']:.2f}"
                for how in ("moments", "features", "score")
            )
            low, high = row["bounds"]
            print(
                f"| {row['ranges']} | {row['images']} | {row['steps']} | [{low:g}, {high:g}] | "
                f"{row[design]['points']} | {cells} |"
            )


if __name__ == "__main__":
    main()
