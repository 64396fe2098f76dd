"""The page's figures of the search, and how a reader reads them."""

from __future__ import annotations

import dataclasses
import math

from .. import analysis
from .evidence import metric_title
from .figures import Picture, Record, on_axes
from .pictures import svg


def search_landscape(search: Record) -> Picture:
    """The landscape as the strategy predicts it, or else as it was measured."""
    return predicted_landscape_picture(search) or landscape_picture(search)


def search_pictures(search: Record, objective: str) -> list[Picture]:
    """The other figures, those that the record has the numbers for.

    Args:
        search: what ``search/result.json`` holds.
        objective: what a reader calls the values.

    """
    found = [
        progress_picture(search, objective),
        prediction_picture(search, objective),
        pareto_picture(search),
    ]
    return [picture for picture in found if picture is not None]


def predicted_landscape_picture(search: Record) -> Picture | None:
    """The slices through the best point; None where the strategy predicted none."""
    data = analysis.predicted_landscape(search)
    if data is None:
        return None
    width, height = analysis.predicted_landscape_size(data)
    drawing = svg(
        "landscape",
        "The predicted objective over every pair of merging weights, in slices through the best",
        (width, height),
        lambda figure: analysis.draw_predicted_landscape(figure, data),
    )
    caption = (
        "Each panel: what the search predicts where two weights vary; lines are level, dark is "
        "better."
    )
    if len(data.names) > 2 or data.left_out:
        caption += (
            " The others stay at the optimum. Dots are the evaluated candidates in the colour of "
            "what they measured, smaller and paler the further they are from the panel in the "
            "other weights; the other marks only show where these two weights are."
        )
    else:
        caption += " Dots are the evaluated candidates in the colour of what they measured."
    return Picture(drawing, "Predicted landscape", caption + _left_out(data.left_out), width)


def landscape_picture(search: Record) -> Picture:
    """The objective over every pair of weights, as measured."""
    data = analysis.landscape(search)
    size = 0.9 + max(1.25 * len(data.names), 3.2)
    height = size - 0.5 if data.panels else 2.6
    drawing = svg(
        "landscape",
        "The search's objective over every pair of merging weights",
        (size, height),
        lambda figure: analysis.draw_landscape(figure, data),
    )
    panels = (
        "Each panel: the best value found with these two weights, or close to them, whatever the "
        "others; dark is better, a small dot is a measured pair, and between dots the nearest "
        "one's value stands. "
    )
    caption = (panels if data.panels else "") + (
        "On the diagonal: the best value against one weight, with lines at zero (dotted), at 1/N "
        "(dashed) and at the optimum."
    )
    if data.not_finite:
        caption += f" {data.not_finite} evaluations had no finite value."
    return Picture(drawing, "Landscape", caption + _left_out(data.left_out), size)


def _left_out(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    shown = ", ".join(analysis.axis_label(name).replace("\n", " ") for name in names)
    return f" Too many to show all: {shown} moved the value least and are left out."


def progress_picture(search: Record, objective: str = "value") -> Picture:
    """The best value so far against cost."""
    data = analysis.search_progress(search)
    drawing = svg(
        "progress",
        "Best value so far against the cost in sample sets",
        (5.2, 3.0),
        on_axes(lambda axes: analysis.draw_search_progress(axes, data, label=objective)),
    )
    caption = "Dots: candidates in the order of evaluation"
    if any(data.anchors):
        caption += ", diamonds those that every search evaluates"
    caption += " (triangles lie above the frame); line: the best so far. A cost of 1 is a full set."
    if any(data.partial):
        caption += " Hollow: measured on fewer images, and not comparable."
    return Picture(drawing, "Progress", caption, 5.2)


def prediction_picture(search: Record, objective: str = "value") -> Picture | None:
    """Predicted against measured; None where the search predicted nothing."""
    data = analysis.prediction(search)
    if data is None:
        return None
    drawing = svg(
        "prediction",
        "Scatter of predicted against measured values",
        (3.8, 3.5),
        on_axes(lambda axes: analysis.draw_prediction(axes, data, label=objective)),
    )
    caption = f"{len(data.predicted)} candidates, each predicted before it was measured: "
    if not math.isnan(data.rank_correlation):
        caption += f"rank correlation {data.rank_correlation:.3f}, ".replace("-", "−")
    caption += (
        f"RMSE {data.rmse:.3g}. On the dashed line a prediction is exact; triangles lie outside "
        "the frame."
    )
    return Picture(drawing, "Predicted against measured", caption, 3.8)


def pareto_picture(search: Record) -> Picture | None:
    """The Pareto front; None where there is one objective only."""
    data = analysis.pareto_front(search)
    if data is None:
        return None
    data = dataclasses.replace(data, objectives=tuple(map(metric_title, data.objectives)))
    panels = len(analysis.pareto_pairs(data))
    columns = min(panels, 3)
    size = (4.6 if columns == 1 else 3.1 * columns, 3.2 * math.ceil(panels / columns))
    drawing = svg(
        "pareto",
        f"Pareto front of {', '.join(data.objectives)}",
        size,
        lambda figure: analysis.draw_pareto_front(figure, data),
    )
    caption = (
        "Lower is better on every axis. Green: candidates that none other beats in all objectives; "
        "the star is merged."
    )
    return Picture(drawing, "Pareto front", caption, size[0])
