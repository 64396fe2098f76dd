"""Run folders with random but coherent numbers, as every stage of a run would write them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

TITLES = {
    "pretrained": "pretrained",
    "joint": "joint finetuning",
    "routed": "routed experts",
    "uniform": "uniform merge",
    "merged": "merged (searched)",
}
MEANS = {"pretrained": 36.2, "joint": 33.9, "routed": 30.4, "uniform": 32.6, "merged": 29.8}
SCALES = {"frechet": 1.0, "kid": 2e-4, "precision": -0.006, "recall": -0.009}
FLOOR = {"frechet": 11.3, "kid": 1.1e-4, "precision": 0.97, "recall": 0.96}


@dataclass(frozen=True)
class FakeRun:
    """What the run's files should say.

    Attributes:
        experts: how many.
        means: each arm's Fréchet distance on the first detector; the rest follows from it.
        channels: of the sample images.
        side: of the sample images.
        seeds: how many noise seeds.
        detectors: the feature networks.
        spread: deviation between seeds, common to all arms.
        model: the specification's model.
        dataset: the specification's data set.
        title: the run's name.
    """

    experts: int = 4
    means: dict[str, float] | None = None
    channels: int = 1
    side: int = 8
    seeds: int = 3
    detectors: tuple[str, ...] = ("digits", "inception")
    spread: float = 0.4
    model: str = "digits"
    dataset: str = "digits"
    title: str = "digits-deme"

    def write(self, folder: Path) -> Path:
        """Writes all files of a finished run."""
        draws = np.random.default_rng(0)
        ranges = self.ranges()
        names = [f"t{low:04d}-{high:04d}" for low, high in ranges]
        weights = [round(float(w), 3) for w in draws.uniform(-0.3, 0.9, self.experts)]
        _write_yaml(folder / "spec.yaml", self.spec())
        _write_json(folder / "environment.json", _ENVIRONMENT)
        _write_json(folder / "manifest.json", _manifest(names))
        _write_json(folder / "timings.json", _timings(names))
        for index, (name, own) in enumerate(zip(names, ranges, strict=True)):
            record = _training(name, own, 0.02 * 4.0 ** (-index * 3 / self.experts), 400, draws)
            _write_json(folder / "experts" / name / "training.json", record)
        joint = _training("joint", (0, 1000), 0.03, 400 * self.experts, draws, consistency=0.0)
        _write_json(folder / "joint" / "training.json", joint)
        _write_json(folder / "validation.json", _validation(names, ranges, draws))
        _write_json(folder / "search" / "result.json", _search(names, weights))
        _write_yaml(folder / "merged" / "recipe.yaml", _recipe(self.model, names, ranges, weights))
        _write_json(folder / "metrics.json", self.metrics(names, draws))
        self._write_samples(folder / "samples", draws)
        return folder

    def ranges(self) -> list[tuple[int, int]]:
        """Equal ranges of the timesteps."""
        bounds = [round(1000 * i / self.experts) for i in range(self.experts + 1)]
        return list(itertools.pairwise(bounds))

    def spec(self) -> dict[str, Any]:
        """The specification."""
        return {
            "version": 1,
            "name": self.title,
            "model": {"path": self.model, "revision": None},
            "data": {"dataset": self.dataset, "resolution": self.side},
            "detector": self.detectors[0],
            "decouple": {"ranges": self.experts, "p": 0.4, "consistency": 1.0, "steps": 400},
            "joint": {"steps": 400 * self.experts, "learning_rate": 1e-4},
            "search": {"strategy": "grid", "bounds": [-0.5, 1.0], "images": 898},
            "evaluate": {"metrics": list(SCALES), "seeds": [2000 + i for i in range(self.seeds)]},
        }

    def metrics(self, names: list[str], draws: np.random.Generator) -> dict[str, Any]:
        """``metrics.json``, means, deviations, differences and excess computed from the values."""
        means = self.means or MEANS
        values = {
            detector: {metric: self._values(means, metric, index, draws) for metric in SCALES}
            for index, detector in enumerate(self.detectors)
        }
        excess = {
            detector: _excess({arm: np.mean(v) for arm, v in found["frechet"].items()})
            for detector, found in values.items()
        }
        return {
            "protocol": "detector digits (3f2a91c07b44) · resize none · 898 generated images · "
            "898 real images (77ab03e19c52) · ddim-20",
            "metrics": list(SCALES),
            "seeds": [2000 + i for i in range(self.seeds)],
            "images": 898,
            "detectors": list(self.detectors),
            "floor": {d: {m: {"mean": v, "std": abs(v) / 30} for m, v in FLOOR.items()} for d in values},
            "arms": {arm: self._arm(arm, values) for arm in means},
            "paired": {
                detector: {metric: _paired(arms) for metric, arms in found.items()}
                for detector, found in values.items()
            },
            "excess": excess,
            "task_vectors": _task_vectors(names, draws),
            "search": {"weights": [], "value": 27.4, "evaluations": 113, "fresh": 28.9},
            "notes": ["frechet: 898 generated images are few for 512 dimensions & <biased> upwards"],
        }

    def _values(
        self, means: dict[str, float], metric: str, index: int, draws: np.random.Generator
    ) -> dict[str, list[float]]:
        """Values by arm and seed. Seeds move all arms together: paired differences are tighter."""
        common = draws.normal(0, self.spread, self.seeds)
        found = {}
        for arm, mean in means.items():
            distances = mean + common + draws.normal(0, self.spread / 4, self.seeds)
            scaled = (distances / (1 + index) - FLOOR["frechet"]) * SCALES[metric] + FLOOR[metric]
            found[arm] = [float(value) for value in scaled]
        return found

    def _arm(self, arm: str, values: dict[str, dict[str, dict[str, list[float]]]]) -> dict[str, Any]:
        models = self.experts if arm == "routed" else 1
        steps = 0 if arm == "pretrained" else 400 * self.experts
        return {
            "title": TITLES[arm],
            "models": models,
            "parameters": 67633 * models,
            "training_steps": steps,
            "training_images": 64 * steps,
            "metrics": {
                detector: {metric: _number(arms[arm]) for metric, arms in found.items()}
                for detector, found in values.items()
            },
        }

    def _write_samples(self, folder: Path, draws: np.random.Generator) -> None:
        folder.mkdir(parents=True)
        shape = (64, self.channels, self.side, self.side)
        base = _blobs(shape, draws)
        for arm in ["real", *(self.means or MEANS)]:
            noise = draws.normal(0, 5 if arm == "real" else 22, shape)
            np.save(folder / f"{arm}.npy", np.clip(base + noise, 0, 255).astype(np.uint8))


def _number(values: list[float]) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "values": values}


def _paired(arms: dict[str, list[float]]) -> dict[str, Any]:
    return {
        arm: _number([m - v for m, v in zip(arms["merged"], values, strict=True)])
        for arm, values in arms.items()
        if arm != "merged"
    }


def _excess(means: dict[str, Any]) -> dict[str, float]:
    excess = {arm: float(mean) - FLOOR["frechet"] for arm, mean in means.items()}
    return {**excess, "reduction": 1 - excess["merged"] / excess["pretrained"]}


def _task_vectors(names: list[str], draws: np.random.Generator) -> dict[str, Any]:
    vectors = draws.normal(size=(len(names), 400)) + 0.2 * draws.normal(size=400)
    norms = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors.T / np.outer(norms, norms)
    return {
        "names": names,
        "norms": (norms / 40).tolist(),
        "relative_norms": (norms / 4000).tolist(),
        "cosines": cosines.tolist(),
    }


def _training(
    name: str,
    own: tuple[int, int],
    level: float,
    steps: int,
    draws: np.random.Generator,
    consistency: float = 0.05,
) -> dict[str, Any]:
    losses = []
    for step in range(10, steps + 1, max(steps // 120, 1)):
        denoising = level * (1 + 0.3 * np.exp(-step / 80)) * draws.lognormal(0, 0.35)
        distance = consistency * level * (1 - np.exp(-step / 60)) * draws.lognormal(0, 0.3)
        losses.append(
            {
                "step": step,
                "loss": denoising + distance,
                "denoising": denoising,
                "consistency": distance,
                "grad_norm": float(draws.lognormal(-2, 0.2)),
                "learning_rate": 2e-4 * (1 - step / steps),
            }
        )
    return {"name": name, "timesteps": list(own), "losses": losses}


def _validation(
    names: list[str], ranges: list[tuple[int, int]], draws: np.random.Generator
) -> dict[str, Any]:
    base = 0.12 * 0.3 ** np.arange(len(ranges))
    models = {"pretrained": base.tolist()}
    for index, name in enumerate(names):
        change = draws.uniform(0.001, 0.06, len(ranges))
        change[index] = -0.009
        models[name] = (base * (1 + change)).tolist()
    models["joint"] = (base * 0.994).tolist()
    models["merged"] = (base * draws.uniform(0.988, 1.002, len(ranges))).tolist()
    return {"ranges": [list(item) for item in ranges], "models": models}


def _search(names: list[str], weights: list[float]) -> dict[str, Any]:
    """A coarse grid (or, for many experts, random points), then steps around the optimum."""
    count = len(names)
    draws = np.random.default_rng(1)
    levels = (-0.5, 0.25, 1.0)
    points = [tuple(row) for row in np.eye(count)] + [(0.0,) * count, (1 / count,) * count]
    if count <= 4:
        points += list(itertools.product(levels, repeat=count))
    else:
        points += [tuple(row) for row in draws.uniform(-0.5, 1, (150, count))]
    best = np.array(weights)
    points += [tuple(np.round(best + 0.19 * row, 4)) for row in draws.choice([-1, 0, 1], (30, count))]
    points.append(tuple(weights))
    evaluations = [
        {"weights": [float(w) for w in point], "value": float(_bowl(np.array(point), best))}
        for point in dict.fromkeys(points)
    ]
    return {
        "experts": names,
        "weights": weights,
        "value": float(_bowl(best, best)),
        "evaluations": evaluations,
        "bounds": [-0.5, 1.0],
        "objective": "frechet",
        "images": 898,
        "protocol": "detector digits (3f2a91c07b44) · 898 generated images · ddim-20 · seed 1000",
    }


def _bowl(point: NDArray[np.float64], best: NDArray[np.float64]) -> float:
    offset = point - best
    return 27.4 + 9 * float(offset @ offset) + 4 * float(offset.sum()) ** 2


def _recipe(
    model: str, names: list[str], ranges: list[tuple[int, int]], weights: list[float]
) -> dict[str, Any]:
    sources = [
        {
            "model": f"experts/{name}",
            "min_timestep": own[0],
            "max_timestep": own[1],
            "weight": weight,
            "sha256": f"{index:064x}",
        }
        for index, (name, own, weight) in enumerate(zip(names, ranges, weights, strict=True))
    ]
    return {"merge_method": "task_arithmetic", "base_model": model, "models": sources}


_ENVIRONMENT = {
    "python": "3.11.7",
    "deme": "0.1.0",
    "torch": "2.13.0",
    "diffusers": "0.42.1",
    "platform": "Linux x86_64, 2 cores",
    "device": "cpu",
}


def _manifest(names: list[str]) -> dict[str, Any]:
    base = "ab" * 32
    entries = {f"experts/{n}": {"sha256": "12" * 32, "made_from": {"base": base}} for n in names}
    return {"artifacts": {**entries, "merged": {"sha256": "cd" * 32, "made_from": {"base": base}}}}


def _timings(names: list[str]) -> dict[str, Any]:
    stages = [{"name": f"expert {n}", "seconds": 21.5, "resumed": i == 1} for i, n in enumerate(names)]
    rest = (("joint", 88.0), ("search", 74.2), ("merge", 0.4), ("evaluate", 61.9))
    return {"stages": [*stages, *({"name": n, "seconds": s, "resumed": False} for n, s in rest)]}


def _blobs(shape: tuple[int, int, int, int], draws: np.random.Generator) -> NDArray[np.float64]:
    """Smooth blobs, a little like digits."""
    count, channels, side, _ = shape
    y, x = np.mgrid[0:side, 0:side] / side
    centres = draws.uniform(0.25, 0.75, (count, channels, 3, 2, 1, 1))
    squared = (x - centres[:, :, :, 0]) ** 2 + (y - centres[:, :, :, 1]) ** 2
    return 240 * np.exp(-squared / 0.02).max(axis=2)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def _write_yaml(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")


RunWriter = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> RunWriter:
    """Writes a finished run's folder; keywords as for :class:`FakeRun`."""

    def write(**settings: Any) -> Path:
        return FakeRun(**settings).write(tmp_path / "runs" / "digits-deme-1a2b3c")

    return write
