"""Merging weights for a hundredth of a grid's cost: every strategy against the paper's grid.

    python benchmarks/search.py --output runs/bench                 # N = 2, 4, 8; about an hour
    python benchmarks/search.py --quick --json                      # N = 2, small

On the bundled digits, with experts of N ranges. The paper's grid (coarse 0, 0.25, …, 1 and then
steps of 0.1 around the best) is run in full for N = 2 and 4; its size for N = 8 is computed. All
strategies see the same noise and are told the same anchors, which count as theirs. The unit of cost
is one set of images. A strategy has reached the grid once its best value on the search's noise is
within 0.1 % of the grid's. What all of them found is judged on five other noise seeds, against real
images that no search has seen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prediction import POSITIVE, SIGNED, quality
from search_bank import HELD_OUT_SEEDS, SEARCH_SEED, Bank, Drawer, train

from deme.search import (
    Evaluation,
    Proposal,
    ScaledAnchors,
    SearchConfig,
    Strategy,
    SurfaceStrategy,
    make_strategy,
)
from deme.search.strategies import full_grid_size, grid_size

GENERIC = ("coordinate", "gp", "tpe", "cmaes", "evolution", "sobol", "random")
LEVELS, FINER_STEP = 5, 0.1
BUDGET = 35
"""A twentieth of the coarse-to-fine grid at N = 4: the most that others may spend."""
REACHED = 1.001
"""Within so much of the grid's value it is reached."""
QUICK = ["decouple.steps=100"]
GRID_RUN = (2, 4)
Result = dict[str, Any]


class Race:
    """Strategies on one bank."""

    def __init__(self, bank: Bank, drawer: Drawer, seed: int) -> None:
        self.bank = bank
        self.drawer = drawer
        self.seed = seed
        self.anchors = list(bank.space.anchors().values())

    def config(self, strategy: str) -> SearchConfig:
        """The strategy at the common budget."""
        left = BUDGET - len(self.anchors)
        return SearchConfig.model_validate(
            {"strategy": strategy, "evaluations": left, "seed": self.seed}
        )

    def strategy(self, name: str, bounds: tuple[float, float]) -> Strategy:
        """A strategy by its name, over these bounds."""
        box = self.bank.box(bounds)
        if name == "grid":
            config = {"strategy": "grid", "levels": LEVELS, "refinements": 1}
            return make_strategy(
                SearchConfig.model_validate({**config, "finer_step": FINER_STEP}), box
            )
        if name != "surface":
            return make_strategy(self.config(name), box)
        objective, units = self.bank.objective, self.bank.space.units
        budget = BUDGET - len(self.anchors) - 2
        inner = SurfaceStrategy(box, objective, evaluations=budget, seed=self.seed)
        return ScaledAnchors(inner, objective, box, self.anchors[0], units)

    def run(self, name: str, bounds: tuple[float, float]) -> list[Evaluation]:
        """All that a strategy evaluates, in order, the anchors first but for the grid."""
        strategy = self.strategy(name, bounds)
        found: list[Evaluation] = []
        if name != "grid":
            found = self._evaluate([Proposal(anchor) for anchor in self.anchors])
            strategy.begin(found)
        while proposals := strategy.ask():
            told = self._evaluate(proposals)
            strategy.tell(told)
            found += told
        return found

    def _evaluate(self, proposals: list[Proposal]) -> list[Evaluation]:
        self.drawer.draw([proposal.candidate for proposal in proposals], [SEARCH_SEED])
        return [self.bank.evaluation(proposal) for proposal in proposals]

    def judged(self, found: list[Evaluation]) -> list[Result]:
        """Each improvement: its cost so far, its value, and its values on held-out noise."""
        steps: list[Result] = []
        best = float("inf")
        for cost, evaluation in enumerate(found, start=1):
            if evaluation.value < best:
                best = evaluation.value
                step = {"cost": cost, "weights": evaluation.candidate, "value": best}
                steps.append(step)
        self.drawer.draw([step["weights"] for step in steps], HELD_OUT_SEEDS)
        return [{**step, "held_out": self.bank.held_out(step["weights"])} for step in steps]


def seconds_per_set(bank: Bank) -> float:
    """One thread's time for a set, the median of three."""
    evaluator = bank.evaluator(SEARCH_SEED)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        evaluator.tables(bank.space.anchors()["uniform"], range(bank.images))
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def own_time(race: Race, bounds: tuple[float, float]) -> float:
    """Seconds that the surface itself takes for a whole search, its sets being there."""
    started = time.perf_counter()
    race.run("surface", bounds)
    return time.perf_counter() - started


def compare(
    race: Race, strategies: list[str], signed: list[str], say: Callable[[str], None]
) -> Result:
    """All strategies at one N in [0, 1], some with weights of any sign too, against the grid."""
    count = len(race.bank.experts)
    full = full_grid_size(FINER_STEP, *POSITIVE, count)
    coarse_to_fine = grid_size(LEVELS, count, 1)
    rows: Result = {}
    if count in GRID_RUN:
        found = race.run("grid", POSITIVE)
        rows["grid"] = race.judged(found)
        rows["grid"][-1]["evaluations"] = len(found)
        say(f"N={count} grid: {_line(rows['grid'])}")
    entries = [(name, name, POSITIVE) for name in strategies]
    entries += [(f"{name} signed", name, SIGNED) for name in strategies if name in signed]
    for title, name, bounds in entries:
        found = race.run(name, bounds)
        rows[title] = race.judged(found)
        rows[title][-1]["evaluations"] = len(found)
        say(f"N={count} {title}: {_line(rows[title])}")
    summary = {
        title: _against_grid(steps, rows.get("grid"), full, coarse_to_fine)
        for title, steps in rows.items()
    }
    return {
        "full_grid": full,
        "coarse_to_fine": coarse_to_fine,
        "strategies": summary,
        "history": rows,
    }


def _against_grid(
    steps: list[Result], grid: list[Result] | None, full: int, coarse_to_fine: int
) -> Result:
    last = steps[-1]
    found: Result = {
        "evaluations": last.get("evaluations", coarse_to_fine),
        "weights": last["weights"],
        "search_value": last["value"],
        "held_out": statistics.fmean(last["held_out"]),
    }
    if grid is None:
        return {**found, "evaluations_to_grid": None, "held_out_minus_grid": None}
    target = grid[-1]["value"]
    reached = [step["cost"] for step in steps if step["value"] <= REACHED * target]
    beaten = [step["cost"] for step in steps if step["value"] <= target]
    paired = [a - b for a, b in zip(last["held_out"], grid[-1]["held_out"], strict=True)]
    return {
        **found,
        "evaluations_to_grid": reached[0] if reached else None,
        "evaluations_to_no_worse": beaten[0] if beaten else None,
        "held_out_minus_grid": statistics.fmean(paired),
        "held_out_minus_grid_deviation": statistics.stdev(paired),
    }


def _line(steps: list[Result]) -> str:
    last = steps[-1]
    held = statistics.fmean(last["held_out"])
    weights = ", ".join(f"{weight:.2f}" for weight in last["weights"])
    return f"{last['value']:.2f} at {last['cost']}, held out {held:.2f} ({weights})"


def headline(result: Result) -> Result:
    """What one N comes to: the surface's cost in [0, 1], and its end with weights of any sign."""
    surface = result["strategies"]["surface"]
    signed = result["strategies"]["surface signed"]
    spent = surface["evaluations_to_grid"] or surface["evaluations"]
    prediction = result["prediction"]
    return {
        "evaluations_over_full_grid": spent / result["full_grid"],
        "evaluations_over_coarse_to_fine": spent / result["coarse_to_fine"],
        "reached_grid": surface["evaluations_to_grid"] is not None,
        "held_out_minus_grid": signed["held_out_minus_grid"],
        "rank_correlation": prediction["linear"]["moments"]["rank_correlation"],
        "rank_correlation_quadratic": prediction["quadratic"]["moments"]["rank_correlation"],
    }


def main() -> None:
    """Parses the options, races the strategies, prints tables or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    parser.add_argument("--ranges", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--strategy", action="append", choices=GENERIC, help="beside surface")
    parser.add_argument("--images", type=int, default=898)
    parser.add_argument("--steps", type=int, default=20, help="sampler steps")
    parser.add_argument("--seed", type=int, default=0, help="of the strategies' own draws")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--signed", action="store_true", help="all with weights of any sign too")
    parser.add_argument("--quick", action="store_true", help="N = 2 in under a minute")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.ranges, args.images, args.steps = [2], 225, 10
        args.output = args.output / "quick"
    found: Result = {}
    for ranges in args.ranges:
        folder = train(args.output, ranges, QUICK if args.quick else [])
        bank = Bank(folder, args.steps, args.images)
        with Drawer(bank, args.workers) as drawer:
            race = Race(bank, drawer, args.seed)
            names = ["surface", *([] if args.quick else args.strategy or GENERIC)]
            signed = names if args.signed else ["surface"]
            result = compare(race, names, signed, lambda text: print(text, file=sys.stderr))
            result["prediction"] = quality(bank, drawer, POSITIVE, bank.images)
            result["prediction_signed"] = quality(bank, drawer, SIGNED, bank.images)
            result["seconds_per_set"] = seconds_per_set(bank)
            result["surface_own_seconds"] = own_time(race, SIGNED)
        found[str(ranges)] = {**headline(result), **result}
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)


def show(found: Result) -> None:
    """Prints a table for each N."""
    for ranges, result in found.items():
        print(f"\nN = {ranges}: full grid {result['full_grid']:,} sets, coarse to fine")
        print(f"{result['coarse_to_fine']:,}; {result['seconds_per_set']:.2f} s a set\n")
        print("| strategy | sets | search | held out | sets to the grid's | minus grid |")
        print("|---|---|---|---|---|---|")
        rows = result["strategies"].items()
        for title, row in sorted(rows, key=lambda item: item[1]["held_out"]):
            reached = row["evaluations_to_grid"]
            minus = row["held_out_minus_grid"]
            difference = "" if minus is None else f"{minus:+.2f}"
            print(
                f"| {title} | {row['evaluations']} | {row['search_value']:.2f} | "
                f"{row['held_out']:.2f} | {reached or '–'} | {difference} |"
            )
        for title in ("prediction", "prediction_signed"):
            for design, found_there in result[title].items():
                moments = found_there["moments"]
                print(
                    f"{title} {design}, {found_there['points']} points: rank "
                    f"{moments['rank_correlation']:.3f}, RMSE {moments['rmse']:.2f}"
                )


if __name__ == "__main__":
    main()
