"""A run's numbers with intervals: of any pipeline under its protocol, or of its own arms."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table
from torch import Tensor

from ..decouple import open_pipeline
from ..metrics import IntervalSettings, MetricValue, measure
from .context import RunContext
from .measured_tables import metrics_of, require_measurable, tables_of
from .protocol_filling import require_resolution
from .stages.evaluate import arm_sources, evaluation_features
from .stages.sampling import draw_features, make_request

Series = dict[tuple[str, str], list[MetricValue]]
"""Detector and metric → one value for each seed."""


def measure_pipeline(
    context: RunContext, model: str, intervals: IntervalSettings | None = None
) -> Table:
    """Mean ± deviation over the evaluation's seeds, beside the floor, and notes below.

    Args:
        context: the run whose protocol it is.
        model: a pipeline's folder or hub id.
        intervals: how each number's interval is made; None: no intervals.

    Raises:
        ConfigError: a metric reads what none of the detectors makes.
        ProtocolError: the pipeline's images are not of the named protocol's size.

    """
    config = context.spec.evaluate
    require_measurable(context.detectors, config.metrics)
    denoiser = open_pipeline(model).to(context.accelerator.device)
    require_resolution(config.protocol, denoiser.resolution)
    context.store.prepare()
    reference = context.references[context.detectors[0].name]
    count = reference.generated_count(config.images)
    drawn: list[Mapping[str, Tensor]] = []
    with context.reporter.bar("evaluate", count * len(config.seeds)) as bar:
        for seed in config.seeds:
            request = make_request(context, config, seed, count)
            features = draw_features(
                *(denoiser, request, context.detectors),
                metrics=config.metrics,
                on_progress=bar.advance,
            )
            drawn.append(features)
    notes: dict[str, None] = {}
    series = _measured(context, drawn, intervals, notes)
    caption = f"{count} images, {config.describe()}"
    table = _table(model, [caption, *notes], intervals, ["mean ± deviation"], ["floor"])
    for (detector, name), values in series.items():
        floor = context.references[detector].floor(name)
        table.add_row(detector, name, *_numbers(values, intervals), f"{floor.mean:.4g}")
    return table


def arms_table(context: RunContext, intervals: IntervalSettings) -> Table:
    """Every arm of a run that was evaluated, its numbers with intervals, from the kept features.

    Args:
        context: the run.
        intervals: how intervals are made.

    Raises:
        StorageError: the run was not evaluated.

    """
    notes: dict[str, None] = {}
    found = {
        arm: _measured(context, evaluation_features(context, arm), intervals, notes)
        for arm in arm_sources(context)
    }
    table = _table(context.store.path.name, list(notes), intervals, ["arm", "mean ± deviation"], [])
    for arm, series in found.items():
        for (detector, name), values in series.items():
            table.add_row(detector, name, arm, *_numbers(values, intervals))
    return table


def mean_interval(values: Sequence[MetricValue]) -> tuple[float, float] | None:
    """The interval of the mean of values of independent images; None where one has none.

    Each end is as far from the mean as the root of the ends' mean squared distance over the number
    of values says.
    """
    ends = [value.interval for value in values]
    known = [(value, end) for value, end in zip(values, ends, strict=True) if end is not None]
    if len(known) < len(values):
        return None
    mean = statistics.fmean(value.value for value in values)
    below = math.hypot(*(value.value - low for value, (low, _) in known)) / len(values)
    above = math.hypot(*(high - value.value for value, (_, high) in known)) / len(values)
    return mean - below, mean + above


def _measured(
    context: RunContext,
    drawn: Sequence[Mapping[str, Tensor]],
    intervals: IntervalSettings | None,
    notes: dict[str, None],
) -> Series:
    """The metrics of every detector on each seed's images; what is to be known goes to notes."""
    series: Series = {}
    for detector in context.detectors:
        known = context.references[detector.name]
        names = metrics_of(detector, context.spec.evaluate.metrics)
        real, protocol = known.evaluation_tables(names), known.protocol(known.split[0])
        for features in drawn:
            tables = tables_of(features, detector.name)
            found = measure(
                names,
                real,
                tables,
                protocol=protocol,
                reference=known.evaluation,
                intervals=intervals,
            )
            for name in names:
                series.setdefault((detector.name, name), []).append(found[name])
            notes.update(dict.fromkeys(f"{detector.name}: {note}" for note in found.notes))
    return series


def _table(
    title: str,
    lines: Sequence[str],
    intervals: IntervalSettings | None,
    middle: Sequence[str],
    last: Sequence[str],
) -> Table:
    about = "" if intervals is None else "intervals: where other generated images would put it"
    caption = "\n".join(line for line in (*lines, about) if line)
    table = Table(title=title, caption=caption, caption_justify="left")
    level = [] if intervals is None else [f"{100 * intervals.level:g} % interval"]
    for heading in ("detector", "metric", *middle, *level, *last):
        table.add_column(heading)
    return table


def _numbers(values: Sequence[MetricValue], intervals: IntervalSettings | None) -> list[str]:
    """Mean ± deviation, and the interval of the mean where it was asked for."""
    numbers = [value.value for value in values]
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    cells = [f"{statistics.fmean(numbers):.4g} ± {deviation:.2g}"]
    if intervals is not None:
        ends = mean_interval(values)
        cells.append("–" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}")
    return cells
