"""A comparison of the paper's Table 1, coherent and random: `compare.json` and its images."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARMS: dict[str, tuple[str, str, str | None, int, float]] = {
    # name: title, kind, of, models, Fréchet distance over the reference's
    "pretrained": ("pretrained", "pretrained", None, 1, 1.1),
    "plain": ("joint finetuning", "finetune", None, 1, 0.62),
    "snr_plus_one": ("SNR+1", "finetune", None, 1, 1.6),
    "truncated_snr": ("truncated SNR", "finetune", None, 1, 0.9),
    "min_snr": ("Min-SNR-γ", "finetune", None, 1, 1.3),
    "p2": ("P2", "finetune", None, 1, 6.4),
    "ant_nash": ("ANT-NashMTL", "finetune", None, 1, 0.5),
    "ant_uw": ("ANT-UW", "finetune", None, 1, 0.45),
    "edm2": ("EDM2 uncertainty", "finetune", None, 1, 0.12),
    "greedy": ("greedy soup", "soup", "plain", 1, 0.2),
    "routed": ("DeMe, routed", "experts", None, 4, 0.28),
    "uniform": ("DeMe, uniform merge", "experts", None, 1, 0.75),
    "deme": ("DeMe, merged", "merged", None, 1, 0.0),
    "oms_dpm": ("OMS-DPM", "oms_dpm", "plain", 6, 0.31),
    "diffpruning": ("DiffPruning", "diffpruning", None, 2, 0.66),
    "lcsc": ("LCSC", "lcsc", "plain", 1, 0.3),
}
SCALES = {"frechet": 1.0, "kid": 1.2e-4, "precision": -0.02, "recall": -0.015}
"""How far a metric goes with a Fréchet distance of one more."""
STARTS = {"frechet": 10.9, "kid": 1.9e-3, "precision": 0.71, "recall": 0.58}
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Student's quantile at 97.5 %, by degrees of freedom."""
FLOPS, PARAMETERS = 41e6, 175_432


@dataclass
class FakeComparison:
    """Everything that a comparison's folder can hold; fields say how it differs from the usual."""

    detectors: tuple[str, ...] = ("digits", "pixels")
    metrics: tuple[str, ...] = ("frechet", "kid", "precision", "recall")
    training: tuple[int, ...] = (0, 1, 2)
    noise: tuple[int, ...] = (1000, 1001, 1002, 1003, 1004)
    missing: tuple[str, ...] = ("diffpruning", "lcsc")
    ahead: dict[str, float] = field(default_factory=dict)
    """Fréchet distance of an arm over the reference's, where it is not the usual one."""
    noise_scale: float = 0.06
    curve: bool = True
    side: int = 8
    channels: int = 1
    name: str = "digits-table"

    def record(self) -> dict[str, Any]:
        """What ``compare.json`` holds."""
        names = [name for name in ARMS if name not in self.missing]
        values = {name: self._values(name) for name in names}
        arms = {name: self._arm(name, values[name]) for name in names}
        for name in names:
            if "deme" in names and name != "deme":
                arms[name]["against"] = self._against(values["deme"], values[name])
        floor = {"frechet": 6.2, "kid": 1.1e-4, "precision": 0.97, "recall": 0.96}
        return {
            "name": self.name,
            "protocol": "detector digits (3f2a9c11) · resize none · 898 generated images · 898 "
            "real images (77aa0b12) · DDIM 20 steps · seeds 1000, 1001, 1002, 1003, 1004 · tuning "
            "and judging on disjoint real halves",
            "metrics": list(self.metrics),
            "detectors": list(self.detectors),
            "floor": {
                d: {m: {"mean": floor[m], "std": floor[m] / 30, "images": 898} for m in floor}
                for d in self.detectors
            },
            "seeds": {"training": list(self.training), "noise": list(self.noise)},
            "images": 898,
            "confidence": 0.95,
            "reference": "deme",
            "budget": {"steps": 1600, "images_per_step": 128, "images": 204_800},
            "trials": {
                "learning_rates": [5e-4, 1.5e-3, 4e-3],
                "averages": [0.05, 0.15],
                "count": 5,
                "tuned_at": [self.training[0]],
                "objective": f"frechet, {self.detectors[0]}",
            },
            "arms": arms,
            "curve": self._curve(names) if self.curve else [],
            "notes": ["digits: kid: 898 images are fewer than a subset of 1000"],
            "missing": [name for name in ARMS if name in self.missing],
        }

    def write(self, folder: Path) -> Path:
        """Writes the folder, images included."""
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        (folder / "compare.json").write_text(json.dumps(self.record()), "utf-8")
        for name in ("real", *(name for name in ARMS if name not in self.missing)):
            np.save(folder / "samples" / f"{name}.npy", self._images(name))
        return folder

    def _draws(self, *parts: object) -> np.random.Generator:
        seed = sum(ord(letter) * 31**i for i, letter in enumerate(" ".join(map(str, parts))))
        return np.random.default_rng(seed % 2**32)

    def _level(self, name: str) -> float:
        return self.ahead.get(name, ARMS[name][4])

    def _values(self, name: str) -> dict[str, dict[str, list[list[float]]]]:
        """Noise shared by the arms, an effect of each training, and a little of both."""
        found: dict[str, dict[str, list[list[float]]]] = {}
        for place, detector in enumerate(self.detectors):
            for metric in self.metrics:
                shared = self._draws(detector, metric).normal(size=len(self.noise)) * 0.3
                draws = self._draws(name, detector, metric)
                level = self._level(name) * (1 - 0.35 * place)
                rows = []
                for _ in self.training:
                    moved = 0 if name == "pretrained" else draws.normal() * self.noise_scale
                    own = draws.normal(size=len(self.noise)) * 0.05
                    rows.append(level + moved + shared + own)
                if name == "pretrained":  # the same model at every training seed
                    rows = [rows[0]] * len(rows)
                found.setdefault(detector, {})[metric] = [
                    (STARTS[metric] + SCALES[metric] * row).tolist() for row in rows
                ]
        return found

    def _arm(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        title, kind, of, models, _ = ARMS[name]
        tuned = kind in ("finetune", "experts", "merged")
        rates = [(rate, None) for rate in (5e-4, 1.5e-3, 4e-3)]
        settings = [*rates, (1.5e-3, 0.05), (1.5e-3, 0.15)]
        draws = self._draws(name, "trials")
        level = 12 + self._level(name)
        trials = [
            {"learning_rate": r, "average": a, "value": level + float(draws.uniform(0, 2))}
            for r, a in settings
        ]
        best = min(trials, key=lambda trial: trial["value"])
        chosen = {key: best[key] for key in ("learning_rate", "average")}
        steps = 0 if kind == "pretrained" else 1600
        facts = {"weights": [0.61, 0.42, -0.2, 0.88], "candidates": 25} if name == "deme" else {}
        return {
            "title": title,
            "kind": kind,
            "of": of,
            "models": models,
            "parameters": models * PARAMETERS,
            "weight_bytes": models * PARAMETERS * 4,
            "flops_per_sample": FLOPS * (0.7 if kind == "diffpruning" else 1),
            "seconds_per_sample": 0.0021 * (1.05 if models > 1 else 1),
            "sampler_steps": 17 if kind == "oms_dpm" else 20,
            "training_steps": steps,
            "training_images": steps * 128,
            "training_flops": None if kind == "lcsc" else steps * 128 * 3 * FLOPS / 20,
            "search_images": 22_450 if kind in ("merged", "oms_dpm") else 0,
            "facts": facts,
            "chosen": chosen if tuned else None,
            "trials": trials if tuned else [],
            "values": values,
            "metrics": {
                d: {m: self._spread(rows) for m, rows in metrics.items()}
                for d, metrics in values.items()
            },
        }

    def _spread(self, rows: list[list[float]]) -> dict[str, float | None]:
        means = [float(np.mean(row)) for row in rows]
        series = means if len(means) > 1 else rows[0]
        deviation = float(np.std(series, ddof=1)) if len(series) > 1 else None
        return {"mean": float(np.mean(means)), "std": deviation}

    def _against(self, reference: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        return {
            detector: {
                metric: self._difference(np.array(reference[detector][metric]), np.array(rows))
                for metric, rows in metrics.items()
            }
            for detector, metrics in other.items()
        }

    def _difference(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> dict[str, Any]:
        over = "training" if len(self.training) > 1 else "noise"
        series = (first - second).mean(axis=1) if over == "training" else (first - second)[0]
        mean = float(series.mean())
        if len(series) < 2:
            return {"mean": mean, "low": None, "high": None, "over": over, "seeds": 1}
        half = T_975[len(series) - 1] * float(series.std(ddof=1)) / math.sqrt(len(series))
        ends = {"low": mean - half, "high": mean + half}
        return {"mean": mean, **ends, "over": over, "seeds": len(series)}

    def _curve(self, names: list[str]) -> list[dict[str, Any]]:
        points = []
        for name in ("pretrained", "plain", "deme", "oms_dpm"):
            for steps in (17,) if name == "oms_dpm" else (5, 10, 20, 40):
                if name not in names:
                    continue
                worse = self._level(name) + 14 / steps
                numbers = {m: STARTS[m] + SCALES[m] * worse for m in self.metrics}
                points.append(
                    {
                        "arm": name,
                        "sampler_steps": steps,
                        "flops": FLOPS * steps / 20,
                        "seconds": 0.0021 * steps / 20,
                        "metrics": {
                            d: {m: {"mean": v, "std": abs(v) / 60} for m, v in numbers.items()}
                            for d in self.detectors
                        },
                    }
                )
        return points

    def _images(self, name: str) -> NDArray[np.uint8]:
        """The same smooth shapes for every arm, blurred a little differently."""
        draws, size = self._draws("shapes"), self.side
        grid = np.mgrid[0:size, 0:size] / size
        places = draws.uniform(0.2, 0.8, (64, self.channels, 2, 1, 1))
        width = 0.12 + 0.02 * len(name) / 10
        blobs = np.exp(-((grid - places) ** 2).sum(axis=2) / width**2)
        return (255 * blobs).astype(np.uint8)
