"""Quality against time: arms at several numbers of sampler steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .comparison import Comparison
from .costs import sample_flops, seconds_per_sample
from .drawing import ImageSet, draw_all
from .intervals import mean_and_deviation
from .judging import values_of


def curve_sets(comparison: Comparison, name: str, steps: int) -> list[ImageSet]:
    """The image sets of an arm at another number of steps, seeds as for the table.

    An arm with a sampler of its own keeps it, which may have other steps at each training seed.
    """
    judged = comparison.judged_sets(name)
    if _has_own_sampler(comparison, name):
        return judged
    return [
        ImageSet(
            images.model,
            images.sampler.model_copy(update={"sampler_steps": steps}),
            images.seed,
            images.count,
            judged=True,
        )
        for images in judged
    ]


def curve_points(comparison: Comparison, judged: Sequence[str]) -> list[dict[str, Any]]:
    """A point for each arm and number of steps; arms with a sampler of their own have one."""
    points = _wanted(comparison, judged)
    sets = {point: curve_sets(comparison, *point) for point in points}
    draw_all(comparison.context, [s for found in sets.values() for s in found], "quality and time")
    models = {name: sets[name, steps][0].model for name, steps in points}
    opened = {name: model.open(comparison.context) for name, model in models.items()}
    timed = {point: (opened[point[0]], sets[point][0].sampler) for point in points}
    seconds = seconds_per_sample(timed)
    return [
        {
            "arm": name,
            "sampler_steps": steps,
            "flops": sample_flops(*timed[name, steps]),
            "seconds": seconds[name, steps],
            "metrics": {
                detector: {
                    metric: dict(zip(("mean", "std"), mean_and_deviation(rows), strict=True))
                    for metric, rows in metrics.items()
                }
                for detector, metrics in values_of(comparison, sets[name, steps], {}).items()
            },
        }
        for name, steps in points
    ]


def _wanted(comparison: Comparison, judged: Sequence[str]) -> list[tuple[str, int]]:
    """Arms of the curve that are judged, with each number of steps."""
    curve, table = comparison.spec.curve, comparison.spec.run.evaluate.sampler_steps
    found = []
    for name in (name for name in curve.arms if name in judged):
        if _has_own_sampler(comparison, name):
            found.append((name, comparison.judged_sets(name)[0].sampler.sampler_steps))
        else:
            found += [(name, steps) for steps in sorted({table, *curve.sampler_steps})]
    return found


def _has_own_sampler(comparison: Comparison, name: str) -> bool:
    return comparison.contender(name, comparison.spec.seeds[0]).sampler is not None
