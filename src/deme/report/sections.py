"""Which sections a page has, and what it says of those that it has not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .page import Page


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        id: its anchor.
        title: its heading.
        short: what the navigation calls it; empty where it is not listed there.
        present: whether the page has something for it.
        absent: what stands in its place otherwise.
    """

    id: str
    title: str
    short: str
    present: Callable[[Page], object]
    absent: str


SECTIONS = (
    Section(
        "arms",
        "Every arm under one protocol",
        "Arms",
        lambda page: page.tables,
        "The table of arms: metrics.json is not there yet.",
    ),
    Section(
        "samples",
        "Before and after, from the same noise",
        "Images",
        lambda page: page.samples,
        "The images: samples/ is not there yet.",
    ),
    Section(
        "weights",
        "Merging weights",
        "Weights",
        lambda page: page.weights,
        "The weights: neither merged/recipe.yaml nor search/result.json is there yet.",
    ),
    Section(
        "losses",
        "Training",
        "Training",
        lambda page: page.losses,
        "The loss curves: no training.json in experts/ or joint/ holds losses.",
    ),
    Section(
        "validation",
        "Validation loss by range",
        "Validation",
        lambda page: page.validation,
        "The matrix of validation losses: validation.json is not there yet.",
    ),
    Section(
        "cosines",
        "Task vectors",
        "Task vectors",
        lambda page: page.cosines or page.relative_norms,
        "The task vectors' cosines: metrics.json, which holds them, is not there yet.",
    ),
    Section(
        "search",
        "Search",
        "Search",
        lambda page: page.search,
        "The search: search/result.json is not there yet.",
    ),
    Section(
        "protocol",
        "Protocol",
        "Protocol",
        lambda page: page.evidence,
        "The evaluation's protocol: metrics.json is not there yet.",
    ),
    Section(
        "timings",
        "What each stage took",
        "Time",
        lambda page: page.timings,
        "The times: timings.json is not there yet.",
    ),
    Section(
        "spec",
        "Full specification",
        "Specification",
        lambda page: page.spec,
        "The specification: spec.yaml is not there yet.",
    ),
    Section(
        "environment",
        "Environment",
        "",
        lambda page: page.environment,
        "The versions: environment.json is not there yet.",
    ),
    Section("files", "Files", "Files", lambda page: page.files, "There are no files yet."),
)
"""In the order of the page."""


def present_sections(page: Page) -> dict[str, Section]:
    """Those that the page has something for, by id."""
    return {section.id: section for section in SECTIONS if section.present(page)}


def absent_sections(page: Page) -> list[str]:
    """What the page says of the others."""
    return [section.absent for section in SECTIONS if not section.present(page)]
