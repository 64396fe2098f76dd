"""Every merge method at its best setting on a run's experts, judged on noise that no search saw.

Each method gets the same number of evaluations and the same optimiser over its weights and its own
parameters: Sobol points over the box, then steps around the best that become smaller. The search
has one noise seed and one half of the real images; the table has the run's evaluation seeds and
the other half. Differences are paired over the seeds.

    deme run digits
    python benchmarks/methods.py runs/digits-… --evaluations 80
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deme.merge.bound_method import BoundMethod
from deme.merge.component_merge import ComponentMerge
from deme.merge.methods import get_merge_method
from deme.merge.sources.opening import open_expert, open_model
from deme.merge.statistics import ExpertStatistics, collect_statistics
from deme.metrics import FeatureStatistics
from deme.runs import RunContext, RunStore, load_spec
from deme.runs.progress import Reporter
from deme.runs.stages.sampling import draw_features, make_request, search_request

SIGNED, SHARES = (-1.5, 1.5), (0.0, 1.0)
DENSITY = {"density": (0.05, 1.0)}
SAMPLES = 512
"""Samples for each expert's statistics."""


@dataclass(frozen=True)
class Space:
    """What is searched for one method."""

    weights: tuple[float, float] = SIGNED
    parameters: dict[str, tuple[float, float]] = field(default_factory=dict)
    experts: int | None = None
    """How many experts it takes; None takes all, else the pair or the one is searched too."""


SPACES = {
    "task_arithmetic": Space(),
    "linear": Space(SHARES),
    "ties": Space(parameters={**DENSITY, "lambda_": (0.0, 2.0)}),
    "dare_linear": Space(parameters=DENSITY),
    "dare_ties": Space(parameters=DENSITY),
    "della": Space(parameters={"density": (0.16, 0.84), "lambda_": (0.0, 2.0)}),
    "della_linear": Space(parameters={"density": (0.16, 0.84)}),  # ± epsilon stays in (0, 1]
    "breadcrumbs": Space(parameters={**DENSITY, "gamma": (0.0, 0.2)}),
    "breadcrumbs_ties": Space(parameters={**DENSITY, "gamma": (0.0, 0.2)}),
    "sce": Space(parameters={"select_topk": (0.05, 1.0)}),
    "slerp": Space(SIGNED, experts=1),
    "nuslerp": Space(SHARES, experts=2),
    "multislerp": Space(SHARES),
    "karcher": Space(SHARES),
    "model_stock": Space(SHARES),
    "geometric_median": Space(SHARES),
    "isotropic": Space(),
    "isotropic_cts": Space(parameters={"common": (0.0, 1.0)}),
    "tsv": Space(),
    "fisher": Space(SHARES),
    "regmean": Space(SHARES, {"alpha": (0.0, 1.0)}),
}


class Bench:
    """A finished run's experts, and what judges their merges."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        spec = load_spec(str(folder / "spec.yaml"), ["runtime.workers=1", "runtime.threads=1"])
        store = RunStore(folder.parent, spec)
        self.context = RunContext(spec, store, Reporter(quiet=True))
        self.base = open_model(spec.model.path)
        paths = [folder / "experts" / expert.name for expert in self.context.experts]
        self.experts = [open_expert(str(path), self.base) for path in paths]
        self.denoiser = self.context.denoiser.clone()
        self.reference = self.context.references[self.context.detectors[0].name]

    @cache  # noqa: B019  # one bench a process
    def collected(self, kind: Any) -> list[ExpertStatistics]:
        """Statistics of each expert at its own timesteps."""
        return [
            collect_statistics(
                denoiser, self.context.source, expert.timesteps, kind=kind, samples=SAMPLES
            )
            for expert, denoiser in zip(
                self.context.experts, self.context.expert_denoisers, strict=True
            )
        ]

    def load(self, method: str, chosen: list[int], weights: list[float], extra: dict) -> None:
        """Puts a merge into the denoiser."""
        registered = get_merge_method(method)
        kind = registered.statistics
        bound = BoundMethod(registered, tuple({"weight": w} for w in weights), extra)
        component = self.denoiser.component
        merge = ComponentMerge(
            component,
            self.base.components[component],  # type: ignore[arg-type]
            [self.experts[i].components[component] for i in chosen],
            bound,
            statistics=[] if kind is None else [self.collected(kind)[i] for i in chosen],
        )
        merged = {
            name: torch.cat(list(merge.produce(name))).view(info.shape)
            for name, info in merge.layout.items()
        }
        self.denoiser.load_weights(merged)

    def search_value(self) -> float:
        """The distance of the loaded merge on the search's noise and real images."""
        features = draw_features(
            self.denoiser, search_request(self.context), self.context.detectors[:1]
        )
        return self.reference.search_distance(features[self.context.detectors[0].name])

    def held_out(self) -> list[float]:
        """Its distances on the evaluation's seeds, against the other real images."""
        config = self.context.spec.evaluate
        count = self.reference.generated_count(config.images)
        values = []
        for seed in config.seeds:
            request = make_request(self.context, config, seed, count)
            drawn = draw_features(self.denoiser, request, self.context.detectors[:1])
            found = FeatureStatistics.from_features(
                drawn[self.context.detectors[0].name],
                self.reference.protocol(self.reference.split[0]),
            )
            values.append(self.reference.evaluation.distance(found))
        return values


def settings(space: Space, point: Tensor, experts: int) -> tuple[list[int], list[float], dict]:
    """A point of the unit cube as experts, weights and parameters."""
    values = point.tolist()
    low, high = space.weights
    taken = space.experts or experts
    weights = [low + (high - low) * value for value in values[:taken]]
    extra = {
        name: a + (b - a) * value
        for (name, (a, b)), value in zip(space.parameters.items(), values[taken:], strict=False)
    }
    if space.experts is None:
        return list(range(experts)), weights, extra
    pairs = list(torch.combinations(torch.arange(experts), taken).tolist())
    return pairs[min(int(values[-1] * len(pairs)), len(pairs) - 1)], weights, extra


def best_setting(bench: Bench, method: str, evaluations: int, start: int) -> dict[str, Any]:
    """Searches one method's setting, then judges it on held-out noise."""
    space, count = SPACES[method], len(bench.experts)
    axes = (space.experts or count) + len(space.parameters) + (space.experts is not None)
    sobol = torch.quasirandom.SobolEngine(axes, scramble=True, seed=start)
    draws = torch.Generator().manual_seed(start)
    equal = (1 / count - space.weights[0]) / (space.weights[1] - space.weights[0])
    best = torch.full((axes,), equal)
    best[(space.experts or count) :] = 0.5
    best_value, started = float("inf"), time.perf_counter()
    wide = evaluations // 3
    for index in range(evaluations):
        if index == 0:
            point = best
        elif index < wide:
            point = sobol.draw()[0]
        else:
            width = 0.2 * 0.05 ** ((index - wide) / (evaluations - wide))
            point = (best + width * torch.randn(axes, generator=draws)).clamp(0, 1)
        bench.load(method, *settings(space, point, count))
        value = bench.search_value()
        if value < best_value:
            best, best_value = point, value
    chosen, weights, extra = settings(space, best, count)
    bench.load(method, chosen, weights, extra)
    return {
        "method": method,
        "experts": chosen,
        "weights": weights,
        "parameters": extra,
        "search": best_value,
        "held_out": bench.held_out(),
        "seconds": time.perf_counter() - started,
    }


_BENCH: dict[Path, Bench] = {}


def work(job: tuple[Path, str, int, int]) -> dict[str, Any]:
    """One method, in a process that keeps its bench."""
    folder, method, evaluations, start = job
    if folder not in _BENCH:
        _BENCH[folder] = Bench(folder)
    if method == "pretrained":
        return {"method": method, "held_out": _BENCH[folder].held_out()}
    return best_setting(_BENCH[folder], method, evaluations, start)


def _finished(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.open()] if journal.is_file() else []


def paired(row: list[float], other: list[float]) -> tuple[float, float]:
    """Mean and deviation of the difference over the seeds."""
    differences = [a - b for a, b in zip(row, other, strict=True)]
    return statistics.fmean(differences), statistics.stdev(differences)


def main() -> None:
    """Parses the options, searches every method, prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("--evaluations", type=int, default=80, help="for each method")
    parser.add_argument("--start", type=int, default=0, help="seed of the optimiser's draws")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--method", action="append", choices=SPACES)
    parser.add_argument("--journal", type=Path, help="keeps finished methods; repeat to resume")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    methods = list(dict.fromkeys(["task_arithmetic", *(args.method or SPACES)]))
    jobs = [(args.run, name, args.evaluations, args.start) for name in ["pretrained", *methods]]
    rows = _finished(args.journal) if args.journal else []
    done = {row["method"] for row in rows}
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for row in pool.imap(work, [job for job in jobs if job[1] not in done]):
            rows.append(row)
            print(f"{row['method']}: {statistics.fmean(row['held_out']):.2f}", file=sys.stderr)
            if args.journal:
                with args.journal.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the table, the best first."""
    by_name = {row["method"]: row["held_out"] for row in rows}
    merged = [row for row in rows if row["method"] != "pretrained"]
    print("| method | search | held out | minus task arithmetic | minus pretrained | setting |")
    print("|---|---|---|---|---|---|")
    for row in sorted(merged, key=lambda row: statistics.fmean(row["held_out"])):
        found = row["held_out"]
        weights = ", ".join(f"{w:.2f}" for w in row["weights"])
        extra = "".join(f"; {name} {value:.2f}" for name, value in row["parameters"].items())
        one = paired(found, by_name["task_arithmetic"])
        two = paired(found, by_name["pretrained"])
        print(
            f"| {row['method']} | {row['search']:.1f} | {statistics.fmean(found):.1f} ± "
            f"{statistics.stdev(found):.1f} | {one[0]:+.1f} ± {one[1]:.1f} | "
            f"{two[0]:+.1f} ± {two[1]:.1f} | {weights}{extra} |"
        )
    found = by_name["pretrained"]
    print(f"| pretrained | | {statistics.fmean(found):.1f} ± {statistics.stdev(found):.1f} | | | |")


if __name__ == "__main__":
    main()
