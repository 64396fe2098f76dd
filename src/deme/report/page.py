"""All that the report's template shows, put together from the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..analysis import expert_label, range_label, three_figures
from . import figures
from .arm_table import ArmTable, arm_tables
from .evidence import Evidence
from .figures import Picture
from .glance import Tile, run_tiles, run_verdict
from .numbers import duration
from .run_folder import RunFolder
from .samples import SampleGrids, sample_grids
from .search_section import SearchSection, search_section
from .sections import Section, absent_sections, present_sections
from .verdict import Verdict

FILES = (
    ("merged", "the merged pipeline"),
    ("merged/recipe.yaml", "what was merged from what"),
    ("metrics.json", "every number, for every seed"),
    ("search/result.json", "every evaluation of the search"),
    ("validation.json", "validation losses"),
    ("experts", "the experts, each a pipeline folder"),
    ("samples", "the images above, as arrays"),
    ("spec.yaml", "the specification"),
    ("manifest.json", "hashes of the artifacts"),
)


@dataclass(frozen=True)
class Timing:
    """A stage: its name, its time in words, its share of the longest, and whether it resumed."""

    name: str
    time: str
    share: float
    resumed: bool


@dataclass(frozen=True)
class Artifact:
    """An artifact's name, its hash, and the hashes that it was made from."""

    name: str
    sha256: str
    made_from: str


@dataclass(frozen=True)
class Page:
    """The report's content; None, or nothing in it, where the files are not there yet."""

    name: str
    subtitle: str
    verdict: Verdict | None
    tiles: Sequence[Tile]
    evidence: Evidence | None
    tables: Sequence[ArmTable]
    distances: Sequence[Picture]
    samples: SampleGrids | None
    weights: Picture | None
    losses: Sequence[Picture]
    validation: Picture | None
    cosines: Picture | None
    relative_norms: Sequence[tuple[str, str]]
    search: SearchSection | None
    timings: Sequence[Timing]
    total_time: str
    spec: str | None
    environment: Mapping[str, Any] | None
    files: Sequence[tuple[str, str]]
    artifacts: Sequence[Artifact]

    @cached_property
    def sections(self) -> Mapping[str, Section]:
        """The sections that there is something for, by id, in the page's order."""
        return present_sections(self)

    @cached_property
    def absent(self) -> Sequence[str]:
        """What is said of the other sections."""
        return absent_sections(self)


def read_page(run: RunFolder) -> Page:
    """Reads a run folder into a page.

    Raises:
        StorageError, DataError: a file is there and damaged.
    """
    evidence, metrics, search = run.evidence, run.metrics or {}, run.search
    titles = {} if evidence is None else {name: arm.title for name, arm in evidence.arms.items()}
    vectors = metrics.get("task_vectors")
    cosines = figures.cosine_picture(vectors) if vectors else None
    timings, total = _timings(run.timings)
    judgement = run_verdict(run)
    said = () if judgement is None else judgement.sentences
    fresh = metrics.get("search", {}).get("fresh")
    return Page(
        name=run.name,
        subtitle=_subtitle(run),
        verdict=judgement,
        tiles=run_tiles(run),
        evidence=evidence,
        tables=[] if evidence is None else arm_tables(evidence),
        distances=[] if evidence is None else figures.distance_pictures(evidence, metrics),
        samples=sample_grids(run, titles),
        weights=_weights(run),
        losses=figures.loss_pictures(run.experts, run.joint),
        validation=_validation(run),
        cosines=cosines,
        relative_norms=_relative_norms(vectors),
        search=search_section(search, fresh, said) if search else None,
        timings=timings,
        total_time=total,
        spec=run.spec_text,
        environment=run.environment,
        files=[(name, what) for name, what in FILES if (run.path / name).exists()],
        artifacts=_artifacts(run.manifest),
    )


def _subtitle(run: RunFolder) -> str:
    spec = run.spec or {}
    model, data = spec.get("model"), spec.get("data")
    path = model.get("path") if isinstance(model, Mapping) else model
    dataset = data.get("dataset") if isinstance(data, Mapping) else data
    parts = [f"model {path}" if path else "", f"data {dataset}" if dataset else ""]
    return " · ".join(filter(None, parts))


def _weights(run: RunFolder) -> Picture | None:
    """Bars; where the weights differ by block, a matrix."""
    if run.recipe is not None:
        models = run.recipe["models"]
        names = [_source_label(source) for source in models]
        weights = [source.get("parameters", {}).get("weight", 1 / len(models)) for source in models]
    elif run.search is not None:
        names, weights = run.search["experts"], run.search["weights"]
    else:
        return None
    if all(isinstance(weight, int | float) for weight in weights):
        return figures.weights_picture(names, weights)
    return figures.block_weights_picture(names, weights)


def _source_label(source: Mapping[str, Any]) -> str:
    """The last part of the expert's folder, and its range where that does not tell it."""
    name = expert_label(str(source["model"]).rstrip("/").rsplit("/", 1)[-1])
    low, high = source.get("min_timestep"), source.get("max_timestep")
    if low is None or high is None or name == range_label(low, high):
        return name
    return f"{name} ({range_label(low, high)})"


def _validation(run: RunFolder) -> Picture | None:
    if run.validation is None:
        return None
    return figures.validation_picture(run.validation, run.experts, run.joint)


def _relative_norms(vectors: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if vectors is None:
        return []
    pairs = zip(vectors["names"], vectors["relative_norms"], strict=True)
    return [(expert_label(name), f"{three_figures(100 * norm)} %") for name, norm in pairs]


def _timings(record: Mapping[str, Any] | None) -> tuple[list[Timing], str]:
    stages = [] if record is None else record["stages"]
    seconds = [float(stage["seconds"]) for stage in stages]
    longest = max(seconds, default=0) or 1.0
    rows = [
        Timing(str(stage["name"]), duration(time), time / longest, bool(stage.get("resumed")))
        for stage, time in zip(stages, seconds, strict=True)
    ]
    return rows, duration(sum(seconds))


def _artifacts(manifest: Mapping[str, Any] | None) -> list[Artifact]:
    artifacts = {} if manifest is None else manifest["artifacts"]
    return [
        Artifact(
            name,
            str(entry["sha256"])[:16],
            ", ".join(f"{key} {str(value)[:12]}" for key, value in entry["made_from"].items()),
        )
        for name, entry in artifacts.items()
    ]
