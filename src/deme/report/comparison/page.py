"""All that the page's template shows, put together from the record and the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..evidence import metric_title
from ..figures import Picture
from ..glance import Tile
from ..numbers import count, digits_for, with_deviation
from ..verdict import Verdict
from .costs import COST_COLUMNS, CostRow, budget_sentences, cost_rows, setting_text
from .curve_table import CurveRow, curve_rows
from .figures import difference_pictures, quality_time_pictures
from .quantities import counted, interval, milliseconds, named, short, signed
from .record import ComparisonRecord
from .samples import Samples, comparison_samples
from .standing import judge, merit
from .tables import QualityTable, quality_tables
from .tuning import TrialTable, facts, trial_table, tuning_sentences
from .verdict import comparison_verdict, intervals_text

FILES = (
    ("compare.json", "every number, for every seed, and every trial"),
    ("table.csv", "one value a row: arm, training seed, noise seed, detector, metric"),
    ("arms.csv", "what every arm took, and its setting"),
    ("table.md", "the tables in Markdown"),
    ("table.tex", "the tables in LaTeX"),
    ("comparison.png", "the differences, and quality against time"),
    ("samples", "the images above, as arrays"),
    ("environment.json", "versions and the machine"),
)


@dataclass(frozen=True)
class Heading:
    """A section's heading, and what the navigation calls it."""

    id: str
    title: str
    short: str


@dataclass(frozen=True)
class ComparisonPage:
    """The page's content; None, or nothing in it, where the comparison has not come so far."""

    record: ComparisonRecord
    verdict: Verdict
    tiles: Sequence[Tile]
    tables: Sequence[QualityTable]
    intervals: str
    differences: Sequence[Picture]
    samples: Samples | None
    curves: Sequence[Picture]
    curve_rows: Sequence[CurveRow]
    tuning: Sequence[str]
    trials: TrialTable | None
    facts: Sequence[tuple[str, str]]
    budget: Sequence[str]
    cost_columns: Sequence[str]
    costs: Sequence[CostRow]
    files: Sequence[tuple[str, str]]

    @cached_property
    def sections(self) -> dict[str, Heading]:
        """The sections that there is something for, by id, in the page's order."""
        found = (
            (Heading("arms", "Every arm under one protocol", "Arms"), True),
            (
                Heading("differences", "Differences with their intervals", "Differences"),
                self.differences,
            ),
            (Heading("samples", "Every arm from the same noise", "Images"), self.samples),
            (Heading("curve", "Quality against time", "Time"), self.curves),
            (Heading("tuning", "How the arms were tuned", "Tuning"), True),
            (Heading("budget", "What each arm took", "Budget"), True),
            (Heading("protocol", "Protocol", "Protocol"), True),
            (Heading("files", "Files", "Files"), self.files),
        )
        return {heading.id: heading for heading, present in found if present}

    @property
    def reference(self) -> str:
        """The reference's title as it stands in a sentence."""
        return named(self.record.reference_title)

    @property
    def deviations(self) -> str:
        """What the deviations of the tables are over."""
        training, noise = len(self.record.training_seeds), len(self.record.noise_seeds)
        if training > 1:
            over = f"{training} training seeds"
            over += f", each a mean over {noise} noise seeds" if noise > 1 else ""
            return f"{over}; over the noise seeds for an arm that is one model at all of them"
        return f"{noise} noise seeds of one training" if noise > 1 else ""

    @property
    def costs_of(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """By arm the costs that stand beside its quality: a strong line and a small one each."""
        return {
            name: (
                (counted(arm.models), short(arm.parameters)),
                (milliseconds(arm.seconds_per_sample), short(arm.flops_per_sample)),
                (short(arm.training_images), short(arm.training_flops)),
                (short(arm.search_images), ""),
                setting_text(self.record, arm),
            )
            for name, arm in self.record.arms.items()
        }


def read_page(folder: Path, record: ComparisonRecord) -> ComparisonPage:
    """Puts a comparison's page together.

    Raises:
        StorageError, DataError: images are there and damaged.

    """
    return ComparisonPage(
        record=record,
        verdict=comparison_verdict(record),
        tiles=_tiles(record),
        tables=quality_tables(record),
        intervals=intervals_text(record),
        differences=difference_pictures(record),
        samples=comparison_samples(folder, record),
        curves=quality_time_pictures(record),
        curve_rows=curve_rows(record),
        tuning=tuning_sentences(record),
        trials=trial_table(record),
        facts=facts(record),
        budget=budget_sentences(record),
        cost_columns=COST_COLUMNS,
        costs=cost_rows(record),
        files=[(name, what) for name, what in FILES if (folder / name).exists()],
    )


def _tiles(record: ComparisonRecord) -> list[Tile]:
    """The reference's number, its nearest rival, the seeds, and the budget."""
    detector, metric = record.main
    digits = digits_for(record.numbers(detector, metric))
    reference, tiles = record.reference_arm, []
    number = None if reference is None else reference.number(detector, metric)
    if number is not None:
        label = f"{metric_title(metric)} of {record.reference_title}"
        tiles.append(Tile(with_deviation(number, digits), label))
    rivals = [arm for arm in record.others if arm.difference(detector, metric) is not None]
    if rivals:
        rival = min(rivals, key=lambda arm: merit(arm, detector, metric))
        difference = rival.against[detector][metric]
        ends = interval(difference, digits)
        label = f"against {rival.title}, the best other arm" + (f"; {ends}" if ends else "")
        tiles.append(Tile(signed(difference.mean, digits), label, judge(difference, metric)))
    training, noise = len(record.training_seeds), len(record.noise_seeds)
    label = f"training × noise seeds, {count(record.images)} images each"
    tiles.append(Tile(f"{training} × {noise}", label))
    trials = f"{record.plan.count} trial{'' if record.plan.count == 1 else 's'}"
    label = f"training images for each arm, {trials} each"
    tiles.append(Tile(count(record.budget.images), label))
    return tiles
