"""What each arm took to make and takes to sample, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from ..numbers import count, percent
from ..verdict import listing
from .arm_record import ArmRecord
from .quantities import NOT_KNOWN, average, counted, milliseconds, named, rate, short
from .record import ComparisonRecord

COST_COLUMNS = (
    "models",
    "parameters",
    "weights, bytes",
    "sampler steps",
    "FLOPs a sample",
    "ms a sample",
    "training steps",
    "training images",
    "training FLOPs",
    "search images",
)
OVER_BUDGET = 1.005
"""An arm that took more than this share of the budget is named."""


@dataclass(frozen=True)
class CostRow:
    """One arm's costs, a text for each of :data:`COST_COLUMNS`."""

    title: str
    is_reference: bool
    cells: tuple[str, ...]


def cost_rows(record: ComparisonRecord) -> list[CostRow]:
    """The judged arms, in the record's order."""
    return [
        CostRow(arm.title, arm.name == record.reference, _cells(arm))
        for arm in record.arms.values()
    ]


def _cells(arm: ArmRecord) -> tuple[str, ...]:
    return (
        counted(arm.models),
        count(arm.parameters),
        short(arm.weight_bytes),
        counted(arm.sampler_steps),
        short(arm.flops_per_sample),
        milliseconds(arm.seconds_per_sample),
        count(arm.training_steps),
        count(arm.training_images),
        short(arm.training_flops),
        count(arm.search_images),
    )


def setting_text(record: ComparisonRecord, arm: ArmRecord) -> tuple[str, str]:
    """The chosen rate and average; of an arm that was not tuned, whose setting it has."""
    if arm.chosen is not None:
        return rate(arm.chosen.learning_rate), average(arm.chosen.average)
    if arm.of is not None:
        return "as of", record.title(arm.of)
    return NOT_KNOWN, ""


def budget_sentences(record: ComparisonRecord) -> list[str]:
    """The budget, who went beyond it, and who used less."""
    budget = record.budget
    opening = (
        f"Each arm may take {count(budget.steps)} optimizer steps × "
        f"{count(budget.images_per_step)} images = {count(budget.images)} images in all its "
        "trainings together. Its trials come on top, as many for every arm."
    )
    shares = {
        named(arm.title): arm.training_images / budget.images
        for arm in record.arms.values()
        if arm.training_images and budget.images
    }
    over = [f"{name} ({percent(share)})" for name, share in shares.items() if share > OVER_BUDGET]
    under = [f"{name} ({percent(share)})" for name, share in shares.items() if share < 1]
    said = [opening]
    if over:
        said.append(f"More than the budget was taken by {listing(over)}.")
    elif shares:
        said.append("No arm took more.")
    if under:
        said.append(f"Less was taken by {listing(under)}.")
    return said
