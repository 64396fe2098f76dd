"""Run folders with random but coherent numbers, as every stage of a run would write them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deme.merge.settings import Rule, parse_setting
from report import fake_records as records
from report.fake_search import search

TITLES = {
    "pretrained": "pretrained",
    "joint": "joint finetuning",
    "routed": "routed experts",
    "uniform": "uniform merge",
    "merged": "merged (searched)",
}
MEANS = {"pretrained": 36.2, "joint": 33.9, "routed": 30.4, "uniform": 32.6, "merged": 29.8}
SCALES = {"frechet": 1.0, "kid": 2e-4, "precision": -0.006, "recall": -0.009}

Values = dict[str, dict[str, dict[str, list[float]]]]
"""By detector, metric and arm: one for each seed."""


def _setting(weight: float | str) -> Any:
    """A weight as a recipe has it."""
    parsed = parse_setting(weight) if isinstance(weight, str) else weight
    if not isinstance(parsed, list):
        return parsed
    return [r.model_dump(exclude_none=True) if isinstance(r, Rule) else r for r in parsed]


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
        searched: the kind of search, as for :func:`report.fake_search.search`.
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
    searched: str = "surface"

    def write(self, folder: Path) -> Path:
        """Writes all files of a finished run."""
        draws = np.random.default_rng(0)
        ranges = self.ranges()
        names = [f"t{low:04d}-{high:04d}" for low, high in ranges]
        weights = [round(float(w), 3) for w in draws.uniform(-0.3, 0.9, self.experts)]
        records.write_yaml(folder / "spec.yaml", self.spec())
        records.write_json(folder / "environment.json", records.ENVIRONMENT)
        records.write_json(folder / "manifest.json", records.manifest(names))
        records.write_json(folder / "timings.json", records.timings(names))
        for index, (name, own) in enumerate(zip(names, ranges, strict=True)):
            level = 0.02 * 4.0 ** (-index * 3 / self.experts)
            record = records.training(name, own, level, 400, draws)
            records.write_json(folder / "experts" / name / "training.json", record)
        steps = 400 * self.experts
        joint = records.training("joint", (0, 1000), 0.03, steps, draws, consistency=0.0)
        records.write_json(folder / "joint" / "training.json", joint)
        records.write_json(folder / "validation.json", records.validation(names, ranges, draws))
        result = search(names, weights, self.searched)
        records.write_json(folder / "search" / "result.json", result)
        recipe = records.recipe(self.model, names, ranges, [_setting(w) for w in result["weights"]])
        records.write_yaml(folder / "merged" / "recipe.yaml", recipe)
        records.write_json(folder / "metrics.json", self.metrics(names, draws))
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
            "search": {"strategy": "surface", "bounds": [-0.5, 1.0], "images": 898},
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
            detector: records.excess({arm: np.mean(v) for arm, v in found["frechet"].items()})
            for detector, found in values.items()
        }
        return {
            "protocol": "detector digits (3f2a91c07b44) · resize none · 898 generated images · "
            "898 real images (77ab03e19c52) · ddim-20",
            "metrics": list(SCALES),
            "seeds": [2000 + i for i in range(self.seeds)],
            "images": 898,
            "detectors": list(self.detectors),
            "floor": dict.fromkeys(values, records.FLOOR_RECORD),
            "arms": {arm: self._arm(arm, values) for arm in means},
            "paired": {
                detector: {metric: records.paired(arms) for metric, arms in found.items()}
                for detector, found in values.items()
            },
            "excess": excess,
            "task_vectors": records.task_vectors(names, draws),
            "search": {"weights": [], "value": 27.4, "evaluations": 113, "fresh": 28.9},
            "notes": ["frechet: 898 images are few for 512 dimensions & <b>biased</b> upwards"],
        }

    def _values(
        self, means: dict[str, float], metric: str, index: int, draws: np.random.Generator
    ) -> dict[str, list[float]]:
        """Values by arm and seed. Seeds move all arms together: paired differences are tighter."""
        common = draws.normal(0, self.spread, self.seeds)
        found = {}
        for arm, mean in means.items():
            distances = mean + common + draws.normal(0, self.spread / 4, self.seeds)
            excess = distances / (1 + index) - records.FLOOR["frechet"]
            scaled = records.FLOOR[metric] + excess * SCALES[metric]
            found[arm] = [float(value) for value in scaled]
        return found

    def _arm(self, arm: str, values: Values) -> dict[str, Any]:
        models = self.experts if arm == "routed" else 1
        steps = 0 if arm == "pretrained" else 400 * self.experts
        return {
            "title": TITLES[arm],
            "models": models,
            "parameters": 67633 * models,
            "training_steps": steps,
            "training_images": 64 * steps,
            "metrics": {
                detector: {metric: records.number(arms[arm]) for metric, arms in found.items()}
                for detector, found in values.items()
            },
        }

    def _write_samples(self, folder: Path, draws: np.random.Generator) -> None:
        folder.mkdir(parents=True)
        shape = (64, self.channels, self.side, self.side)
        base = records.blobs(shape, draws)
        for arm in ["real", *(self.means or MEANS)]:
            noise = draws.normal(0, 5 if arm == "real" else 22, shape)
            np.save(folder / f"{arm}.npy", np.clip(base + noise, 0, 255).astype(np.uint8))
