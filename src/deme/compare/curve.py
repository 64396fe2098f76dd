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
    """The image sets of an arm at another number of steps, seeds as for the table."""
    return [
        ImageSet(
            images.model,
            images.sampler.model_copy(update={"sampler_steps": steps}),
            images.seed,
            images.count,
            judged=True,
        )
        for images in comparison.judged_sets(name)
    ]


def curve_points(comparison: Comparison, judged: Sequence[str]) -> list[dict[str, Any]]:
    """A point for each arm and number of steps; arms with a sampler of their own have one."""
    points = []
    for name in comparison.spec.curve.arms:
        if name not in judged:
            continue
        own = comparison.contender(name, comparison.spec.seeds[0]).sampler is not None
        table = comparison.judged_sets(name)[0].sampler.sampler_steps
        for steps in sorted({table, *(() if own else comparison.spec.curve.sampler_steps)}):
            sets = curve_sets(comparison, name, steps)
            draw_all(comparison.context, sets, f"{name}, {steps} steps")
            values = values_of(comparison, sets, {})
            denoiser = sets[0].model.open(comparison.context)
            timed = {name: (denoiser, sets[0].sampler)}
            points.append(
                {
                    "arm": name,
                    "sampler_steps": steps,
                    "flops": sample_flops(denoiser, sets[0].sampler),
                    "seconds": seconds_per_sample(timed, images=64)[name],
                    "metrics": {
                        detector: {
                            metric: dict(
                                zip(("mean", "std"), mean_and_deviation(rows), strict=True)
                            )
                            for metric, rows in metrics.items()
                        }
                        for detector, metrics in values.items()
                    },
                }
            )
    return points
