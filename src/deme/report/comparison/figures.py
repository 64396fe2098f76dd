"""A comparison's figures: in the page, and as one picture to send."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import analysis
from ...analysis.style import INK
from ..evidence import higher_is_better, metric_title
from ..figures import Picture
from ..numbers import count, percent
from ..pictures import svg
from .record import ComparisonRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

RESOLUTION = 160
"""Dots an inch of the picture file."""


def difference_pictures(record: ComparisonRecord) -> list[Picture]:
    """A forest plot for each metric, the main one first; none where there is nothing to compare."""
    pictures = []
    for metric in record.metrics:
        data = _differences(record, metric)
        if data is None:
            continue
        size = analysis.paired_differences_size(data)
        drawing = svg(
            f"differences-{metric}",
            f"Forest plot: {record.reference_title} minus every other arm, {metric_title(metric)}",
            size,
            lambda figure, data=data: _draw_differences(figure, record, data),
        )
        pictures.append(Picture(drawing, metric_title(metric), "", size[0]))
    return pictures


def quality_time_pictures(record: ComparisonRecord) -> list[Picture]:
    """Quality against measured time, and against counted operations."""
    pictures = []
    for cost, words in (("seconds", "measured time"), ("flops", "counted operations")):
        panels = _panels(record, cost)
        if not panels:
            continue
        size = analysis.quality_time_size(panels)
        drawing = svg(
            f"quality-{cost}",
            f"{metric_title(record.metrics[0])} against the {words} of a sample, by arm",
            size,
            lambda figure, panels=panels: _draw_quality(figure, record, panels),
        )
        pictures.append(Picture(drawing, f"Against {words}", "", size[0]))
    return pictures


def comparison_picture(record: ComparisonRecord) -> bytes | None:
    """A PNG of the main metric's differences and, where measured, quality against time below.

    The same record gives the same bytes. None where there is neither.
    """
    import matplotlib
    from matplotlib.figure import Figure

    data, panels = _differences(record, record.metrics[0]), _panels(record, "seconds")
    sizes = [] if data is None else [analysis.paired_differences_size(data)]
    sizes += [analysis.quality_time_size(panels)] if panels else []
    if not sizes:
        return None
    heights = [height for _, height in sizes]
    buffer = io.BytesIO()
    with matplotlib.rc_context({"text.parse_math": False}):
        width = max(width for width, _ in sizes)
        figure = Figure((width, sum(heights) + 0.5), layout="constrained")
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
        figure.suptitle(_heading(record), x=0.02, ha="left", fontsize=11, color=INK)
        parts = list(figure.subfigures(len(sizes), 1, height_ratios=heights, squeeze=False)[:, 0])
        if data is not None:
            _draw_differences(parts[0], record, data)
        if panels:
            _draw_quality(parts[-1], record, panels)
        figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()


def _heading(record: ComparisonRecord) -> str:
    training, noise = len(record.training_seeds), len(record.noise_seeds)
    level = percent(record.confidence).replace(".0 ", " ")
    return (
        f"{record.name}: {training} training × {noise} noise seeds, {count(record.images)} images "
        f"each; intervals at {level}"
    )


def _differences(record: ComparisonRecord, metric: str) -> analysis.PairedDifferences | None:
    data = analysis.paired_differences(
        record.raw, metric, lower_is_better=not higher_is_better(metric)
    )
    return data if data.titles else None


def _panels(record: ComparisonRecord, cost: str) -> list[analysis.QualityTime]:
    chosen = "seconds" if cost == "seconds" else "flops"
    panels = [
        analysis.quality_time(record.raw, detector, record.metrics[0], chosen)
        for detector in record.detectors
    ]
    return [panel for panel in panels if panel.curves]


def _draw_differences(
    figure: Figure | SubFigure, record: ComparisonRecord, data: analysis.PairedDifferences
) -> None:
    analysis.draw_paired_differences(
        figure, data, title=metric_title(data.metric), unseen=record.detectors[1:]
    )


def _draw_quality(
    figure: Figure | SubFigure, record: ComparisonRecord, panels: Sequence[analysis.QualityTime]
) -> None:
    metric = record.metrics[0]
    analysis.draw_quality_time(
        figure, panels, title=metric_title(metric), lower_is_better=not higher_is_better(metric)
    )
