"""A real data set in a time that is given: pretrain to a plateau, four experts, every baseline.

    python benchmarks/cifar10.py --minutes 30 --data DATA/cifar10 --size ddpm-cifar10-32
    python benchmarks/cifar10.py --minutes 3 --data DATA/fashion_mnist --dataset fashion_mnist

It measures what a training step and an image take here, divides the time, writes the two files that
it drives (`pretrain.yaml` for ``deme pretrain``, `compare.yaml` for ``deme compare``) into the
output folder, and prints the table as it fills. The first detector chooses weights, the others see
the table alone; on CUDA, training is in bfloat16 and compiled. Arms for which no time is left are
left out and named. The same command goes on with the files that are there, with time anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from cifar10_settings import (
    ARCHITECTURES,
    BATCH,
    GROUPS,
    PRETRAINING_RATE,
    RATES,
    SAMPLER_STEPS,
    TRAININGS,
    Values,
)
from PIL import Image

from deme.analysis import image_grid
from deme.compare import load_comparison, open_comparison, run_comparison
from deme.config import parse_config
from deme.decouple import train_expert
from deme.report import build_comparison, comparison_table
from deme.runs import RunStore
from deme.runs.pretrain import Pretraining, run_pretraining
from deme.runs.pretrain_loading import load_pretraining
from deme.runs.pretrain_spec import PretrainSpec
from deme.runs.progress import Reporter
from deme.runs.stages.sampling import draw_features, make_request

ROUNDS = 4
CANDIDATES = 35
"""Sets of images that a search draws, about."""
NOISE_SEEDS = 3
SHARES = {"pretraining": 0.45, "training": 0.7}
"""Of the whole time, and of what is then left: the rest draws images."""
TIMED_SETS = 400
"""Images that a comparison draws of each arm, each time it is written down, to time them."""
LEAST_IMAGES, LEAST_STEPS = 64, 4
TIMED_IMAGES = 256


@dataclass(frozen=True)
class Speed:
    """Seconds that things take here: a step, a training's start, an image drawn, an image seen."""

    step: float
    start: float
    image: float
    seen: float


def pretraining_values(args: argparse.Namespace, cuda: bool) -> Values:
    """The pretraining, its steps and images not decided yet."""
    size = args.size
    return {
        "name": "base",
        "model": ARCHITECTURES[args.dataset, size],
        "data": {"dataset": str(args.data), "random_flip": True},
        "training": {
            "batch_size": BATCH[size],
            "learning_rate": PRETRAINING_RATE[size],
            "lr_scheduler": "cosine",
            "mixed_precision": "bf16" if cuda else "no",
            "compile": cuda,
        },
        "detector": args.detector[0],
        "evaluate": {"sampler_steps": SAMPLER_STEPS[size], "reference": "halves"},
        "runtime": {"device": args.device, "threads": args.threads},
    }


def measure(values: Values) -> Speed:
    """Times a short training and a set of images; each twice, so that what compiles is compiled."""
    steps = 40 if values["training"]["compile"] else 8
    short = {**values, "training": {**values["training"], "steps": steps}}
    spec = parse_config(PretrainSpec, {**short, "data": {**values["data"], "max_images": 2048}})
    with tempfile.TemporaryDirectory() as folder:
        trial = Pretraining(spec, Path(folder), Reporter(quiet=True))
        trial.prepare()
        _step_times(trial, Path(folder) / "cold")
        taken = _step_times(trial, Path(folder) / "warm")
        context = trial.context
        request = make_request(context, context.spec.evaluate, 0, TIMED_IMAGES)
        draw_features(context.denoiser, request, context.detectors)
        begin = time.perf_counter()
        draw_features(context.denoiser, request, context.detectors)
        drawn = time.perf_counter() - begin
        images = context.source.batch(range(TIMED_IMAGES)).images
        begin = time.perf_counter()
        for detector in context.detectors:
            detector.features(images)
        seen = time.perf_counter() - begin
    step = statistics.median(taken[steps // 2 :])
    start = max(taken[0] - step, 0.0)
    return Speed(step, start, drawn / TIMED_IMAGES, seen / TIMED_IMAGES)


def _step_times(trial: Pretraining, folder: Path) -> list[float]:
    """Seconds of each step of a training of its own; the first has its start in it."""
    times = [time.perf_counter()]

    def on_progress(step: int, values: Mapping[str, float]) -> None:
        times.append(time.perf_counter())

    train_expert(trial.job(1), folder, trial.context.accelerator, on_progress=on_progress)
    return [after - before for before, after in pairwise(times)]


def divided_pretraining(values: Values, speed: Speed, seconds: float) -> Values:
    """Steps of a round, and images that compare rounds, so that all rounds take ``seconds``."""
    sets = ROUNDS * 2
    images = max(LEAST_IMAGES, int(0.1 * seconds / (sets * speed.image)))
    training = 0.9 * seconds - ROUNDS * speed.start
    steps = max(LEAST_STEPS, int(training / (ROUNDS * speed.step)))
    most = int(0.05 * seconds / max(speed.seen, 1e-9))  # every real image is looked at once
    return {
        **values,
        "data": {**values["data"], "max_images": max(4 * LEAST_IMAGES, most)},
        "training": {**values["training"], "steps": steps, "lr_warmup_steps": steps // 20},
        "plateau": {"rounds": ROUNDS, "seeds": [1000, 1001]},
        "evaluate": {
            **values["evaluate"],
            "images": min(images, 5000),
            "seeds": [2000],
            "metrics": ["frechet"],
        },
        "runtime": {**values["runtime"], "checkpointing_steps": max(steps // 4, 1)},
    }


def comparison_values(
    args: argparse.Namespace, pretraining: Values, model: Path, speed: Speed, seconds: float
) -> Values:
    """The comparison, its steps and images such that it takes ``seconds``."""
    rates = RATES[args.size][: args.rates]
    trainings = TRAININGS * len(rates)
    training = SHARES["training"] * seconds - trainings * speed.start
    steps = max(LEAST_STEPS, int(training / (trainings * speed.step * 4)))
    arms = {name: arm for group in GROUPS for name, arm in group.items()}
    # an image of the search costs one for each candidate and trial, and two for each of the table's
    tried = 9 * len(rates) if len(rates) > 1 else 0
    sets = CANDIDATES + tried + 2 * NOISE_SEEDS * len(arms)
    drawn = (1 - SHARES["training"]) * seconds / speed.image - TIMED_SETS * sum(
        len(found) for found in growing(arms)
    )
    images = min(5000, max(LEAST_IMAGES, int(drawn / sets)))
    if drawn < LEAST_IMAGES * sets:
        print(f"{LEAST_IMAGES} images a set, the least there is, take longer than is left")
    shared = {key: pretraining["training"][key] for key in ("mixed_precision", "compile")}
    sampler = {"sampler": "ddim", "sampler_steps": SAMPLER_STEPS[args.size]}
    return {
        "run": {
            "model": str(model),
            "data": pretraining["data"],
            "detector": args.detector[0],
            "decouple": {
                "ranges": 4,
                "p": 0.4,
                "steps": steps,
                "batch_size": BATCH[args.size],
                "lr_scheduler": "cosine",
                **shared,
            },
            "search": {**sampler, "images": images, "bounds": [-1.0, 2.0]},
            "evaluate": {
                **sampler,
                "images": 2 * images,
                "seeds": [2000 + number for number in range(NOISE_SEEDS)],
                "reference": "halves",
                "metrics": ["frechet", "kid"],
                "detectors": args.detector[1:],
            },
            "runtime": {**pretraining["runtime"], "checkpointing_steps": max(steps, 1)},
        },
        "seeds": [0],
        "trials": {"learning_rates": rates},
        "reference": "deme",
        "arms": arms,
    }


def growing(arms: Mapping[str, Values]) -> Iterator[dict[str, Values]]:
    """The arms of the first group, of the first two, and so on."""
    names: list[str] = []
    for group in GROUPS:
        names += [name for name in group if name in arms]
        yield {name: arms[name] for name in names}


def compare(path: Path, output: Path, deadline: float) -> Path:
    """Runs the comparison group by group while there is time; its folder."""
    values = yaml.safe_load(path.read_text("utf-8"))
    taken, folder = 0.0, output
    for arms in growing(values["arms"]):
        if folder != output and time.monotonic() + taken > deadline:
            print(f"no time is left for the other arms of {path}; the same command makes them")
            break
        part = output / "compare-so-far.yaml"
        now = {**values, "name": "comparison", "arms": arms}
        part.write_text(yaml.safe_dump(now, sort_keys=False), "utf-8")
        started = time.monotonic()
        spec = load_comparison(str(part))
        comparison = open_comparison(spec, RunStore(output, spec.run), Reporter())
        run_comparison(comparison)
        folder, taken = comparison.context.store.path, time.monotonic() - started
        show(folder)
    return folder


def show(folder: Path) -> None:
    """Prints the table."""
    from rich.console import Console

    Console(width=140).print(comparison_table(folder))


def draw(folder: Path) -> None:
    """One picture of each arm's images, from the same noise, and of real ones."""
    for path in sorted((folder / "samples").glob("*.npy")):
        grid = image_grid(np.load(path)[:64])
        Image.fromarray(grid).save(path.with_suffix(".png"))
        print(path.with_suffix(".png"))


def run(args: argparse.Namespace) -> None:
    """Divides the time, pretrains, compares, and prints where everything is."""
    seconds = 60 * args.minutes
    deadline = time.monotonic() + seconds
    values = pretraining_values(args, args.device == "cuda")
    speed = measure(values)
    print(f"a step {speed.step:.3g} s, an image {speed.image:.3g} s", flush=True)
    first, second = args.output / "pretrain.yaml", args.output / "compare.yaml"
    if not first.is_file():
        found = divided_pretraining(values, speed, seconds * SHARES["pretraining"])
        first.write_text(yaml.safe_dump(found, sort_keys=False), "utf-8")
    base = Pretraining(load_pretraining(str(first)), args.output, Reporter())
    for number, found in enumerate(run_pretraining(base)["rounds"], start=1):
        print(f"round {number}: Fréchet distance {found['mean']:.4g}, helped: {found['helped']}")
    if not second.is_file():
        left = max(0.9 * (deadline - time.monotonic()), 1.0)
        written = yaml.safe_load(first.read_text("utf-8"))
        found = comparison_values(args, written, base.result, speed, left)
        second.write_text(yaml.safe_dump(found, sort_keys=False), "utf-8")
    folder = compare(second, args.output, deadline)
    draw(folder)
    for path in (base.store.path / "samples.png", *build_comparison(folder)):
        print(path)
    used = seconds - (deadline - time.monotonic())
    print(f"{used / 60:.1f} of {args.minutes:g} minutes")


def main() -> None:
    """Parses the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--data", type=Path, required=True, help="a folder in a hub's layout")
    parser.add_argument("--dataset", choices=["cifar10", "fashion_mnist"], default="cifar10")
    parser.add_argument("--size", choices=list(BATCH), default="small")
    parser.add_argument("--detector", action="append", help="the search's first; repeatable")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rates", type=int, choices=[1, 2], default=1, help="tried for every arm")
    parser.add_argument("--output", type=Path, default=Path("runs/real"))
    args = parser.parse_args()
    args.detector = args.detector or ["pixels"]
    args.output.mkdir(parents=True, exist_ok=True)
    run(args)


if __name__ == "__main__":
    main()
