"""Random but coherent records, as the stages of a run write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

FLOOR = {"frechet": 11.3, "kid": 1.1e-4, "precision": 0.97, "recall": 0.96}


def number(values: list[float]) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "values": values}


def paired(arms: dict[str, list[float]]) -> dict[str, Any]:
    return {
        arm: number([m - v for m, v in zip(arms["merged"], values, strict=True)])
        for arm, values in arms.items()
        if arm != "merged"
    }


def excess(means: dict[str, Any]) -> dict[str, float]:
    over = {arm: float(mean) - FLOOR["frechet"] for arm, mean in means.items()}
    return {**over, "reduction": 1 - over["merged"] / over["pretrained"]}


def task_vectors(names: list[str], draws: np.random.Generator) -> dict[str, Any]:
    vectors = draws.normal(size=(len(names), 400)) + 0.2 * draws.normal(size=400)
    norms = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors.T / np.outer(norms, norms)
    return {
        "names": names,
        "norms": (norms / 40).tolist(),
        "relative_norms": (norms / 4000).tolist(),
        "cosines": cosines.tolist(),
    }


def training(
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


def validation(
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


def recipe(
    model: str, names: list[str], ranges: list[tuple[int, int]], weights: list[Any]
) -> dict[str, Any]:
    sources = [
        {
            "model": f"../experts/{name}",
            "min_timestep": own[0],
            "max_timestep": own[1],
            "parameters": {"weight": weight},
            "hash": f"xxh3-128:{index:032x}",
        }
        for index, (name, own, weight) in enumerate(zip(names, ranges, weights, strict=True))
    ]
    return {"merge_method": "task_arithmetic", "base_model": model, "models": sources}


FLOOR_RECORD = {metric: {"mean": mean, "std": mean / 30} for metric, mean in FLOOR.items()}

ENVIRONMENT = {
    "python": "3.11.7",
    "deme": "0.1.0",
    "torch": "2.13.0",
    "diffusers": "0.42.1",
    "platform": "Linux x86_64, 2 cores",
    "device": "cpu",
}


def manifest(names: list[str]) -> dict[str, Any]:
    base = "ab" * 32
    entries = {f"experts/{n}": {"sha256": "12" * 32, "made_from": {"base": base}} for n in names}
    return {"artifacts": {**entries, "merged": {"sha256": "cd" * 32, "made_from": {"base": base}}}}


def timings(names: list[str]) -> dict[str, Any]:
    stages = [("joint", 88.0), ("search", 74.2), ("merge", 0.4), ("evaluate", 61.9)]
    records = [{"name": f"expert {name}", "seconds": 21.5, "resumed": True} for name in names]
    records += [{"name": name, "seconds": time, "resumed": False} for name, time in stages]
    return {"stages": records}


def blobs(shape: tuple[int, int, int, int], draws: np.random.Generator) -> NDArray[np.float64]:
    """Smooth blobs, a little like digits."""
    count, channels, side, _ = shape
    y, x = np.mgrid[0:side, 0:side] / side
    centres = draws.uniform(0.25, 0.75, (count, channels, 3, 2, 1, 1))
    squared = (x - centres[:, :, :, 0]) ** 2 + (y - centres[:, :, :, 1]) ** 2
    return 240 * np.exp(-squared / 0.02).max(axis=2)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def write_yaml(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")
