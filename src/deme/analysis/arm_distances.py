"""Every arm's distance, with its deviation, its seeds and the floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import ARM_COLOURS, INK, MUTED, RULE, SURFACE, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ArmDistance:
    """One arm.

    Attributes:
        name: its key.
        title: what a reader calls it.
        mean: over the seeds.
        deviation: over the seeds.
        values: one for each seed.

    """

    name: str
    title: str
    mean: float
    deviation: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class ArmDistances:
    """All arms that were measured, in the order of the record.

    Attributes:
        detector: the feature network.
        metric: the distance.
        arms: the arms.
        floor: mean and deviation between real images and real images, where known.

    """

    detector: str
    metric: str
    arms: tuple[ArmDistance, ...]
    floor: tuple[float, float] | None


def arm_distances(metrics: Mapping[str, Any], detector: str, metric: str) -> ArmDistances:
    """Picks one detector's metric out of a run's metrics; arms without it are left out."""
    arms = []
    for name, arm in metrics["arms"].items():
        number = arm["metrics"].get(detector, {}).get(metric)
        if number is not None:
            values = tuple(map(float, number.get("values", ())))
            title = str(arm.get("title", name))
            arms.append(ArmDistance(name, title, number["mean"], number["std"], values))
    floor = metrics.get("floor", {}).get(detector, {}).get(metric)
    between_real = None if floor is None else (float(floor["mean"]), float(floor["std"]))
    return ArmDistances(detector, metric, tuple(arms), between_real)


def draw_arm_distances(axes: Axes, data: ArmDistances, *, digits: int = 2) -> None:
    """Draws a row for each arm: mean as a dot, deviation as a bar, seeds as small dots below."""
    plain_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    for row, arm in enumerate(data.arms):
        colour = ARM_COLOURS.get(arm.name, MUTED)
        axes.axhline(row, color=RULE, linewidth=0.8, zorder=0)
        reach = (arm.mean - arm.deviation, arm.mean + arm.deviation)
        axes.plot(reach, (row, row), color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        below = [row + 0.26] * len(arm.values)
        axes.scatter(arm.values, below, s=10, color=colour, alpha=0.6, linewidths=0)
        axes.scatter([arm.mean], [row], s=62, color=colour, edgecolors=SURFACE, zorder=3)
        axes.annotate(
            f"{arm.mean:.{digits}f}",
            (arm.mean, row),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold" if arm.name == "merged" else "normal",
            color=INK,
        )
    if data.floor is not None:
        _draw_floor(axes, *data.floor)
    axes.set_yticks(range(len(data.arms)), [arm.title for arm in data.arms])
    axes.tick_params(axis="y", length=0, colors=INK, labelsize=10)
    axes.set_ylim(len(data.arms) - 0.4, -0.7)
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=5)


def _draw_floor(axes: Axes, mean: float, deviation: float) -> None:
    axes.axvspan(mean - deviation, mean + deviation, color=MUTED, alpha=0.15, linewidth=0)
    axes.axvline(mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        "floor",
        (mean, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=MUTED,
    )
