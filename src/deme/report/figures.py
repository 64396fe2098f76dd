"""The page's figures: which analysis is drawn from which file, and how a reader reads it.

Those of the search are in :mod:`.search_figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .. import analysis
from .evidence import Evidence, higher_is_better, metric_title
from .numbers import digits_for
from .pictures import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A figure with its caption.

    Attributes:
        svg: the element.
        title: above it.
        caption: how to read it.
        width: in inches; a narrow page scrolls rather than make it unreadable.
    """

    svg: Markup
    title: str
    caption: str
    width: float


def on_axes(draw: Callable[[Axes], None]) -> Callable[[Figure], None]:
    """Draws on the one axes that fills a figure."""
    return lambda figure: draw(figure.subplots())


def distance_pictures(evidence: Evidence, metrics: Record) -> list[Picture]:
    """A dot plot for each detector and each metric where lower is better, main ones first."""
    distances = [metric for metric in evidence.metrics if not higher_is_better(metric)]
    pictures = []
    for metric in distances:
        for index, detector in enumerate(evidence.detectors):
            data = analysis.arm_distances(metrics, detector, metric)
            if not data.arms:
                continue
            digits = digits_for(evidence.numbers(detector, metric))
            title = f"{metric_title(metric)}, {detector} features"
            drawing = svg(
                f"distance-{index}-{metric}",
                f"Dot plot of every arm: {title}",
                (5.2, 0.9 + 0.46 * len(data.arms)),
                on_axes(
                    lambda axes, data=data, digits=digits: analysis.draw_arm_distances(
                        axes, data, digits=digits
                    )
                ),
            )
            pictures.append(Picture(drawing, title, "", 5.2))
    return pictures


def weights_picture(names: Sequence[str], weights: Sequence[float]) -> Picture:
    """The merging weights as signed bars."""
    data = analysis.merging_weights(names, weights)
    drawing = svg(
        "weights",
        "Bar chart of the merging weights",
        (5.2, 1.0 + 0.36 * len(data.names)),
        on_axes(lambda axes: analysis.draw_merging_weights(axes, data)),
    )
    caption = "Rows: the experts, by the timesteps that they own. Dashed: all weights equal."
    return Picture(drawing, "", caption, 5.2)


def block_weights_picture(names: Sequence[str], settings: Sequence[Any]) -> Picture:
    """Merging weights that differ by block, as a matrix; settings as in a recipe."""
    data = analysis.block_weights(names, settings)
    longest = max(map(len, data.blocks))
    width = max(4.2, 0.6 + 0.075 * longest + 0.9 * len(data.experts))
    drawing = svg(
        "weights",
        "Matrix of merging weights by block and expert",
        (width, 0.6 + 0.3 * len(data.blocks)),
        on_axes(lambda axes: analysis.draw_block_weights(axes, data)),
    )
    caption = (
        "Rows: blocks of the network, in its order. Columns: the experts, by the timesteps that "
        "they own. Colours are the weights' sign and size."
    )
    return Picture(drawing, "", caption, width)


def loss_pictures(experts: Sequence[Record], joint: Record | None) -> list[Picture]:
    """Denoising and consistency loss of the experts, and the joint baseline's denoising loss."""
    wanted = [
        ("denoising", "Experts: denoising loss", experts),
        ("consistency", "Experts: distance to the frozen pretrained model", experts),
        ("denoising", "Joint finetuning: denoising loss", [joint] if joint else []),
    ]
    pictures = []
    for index, (quantity, title, trainings) in enumerate(wanted):
        curves = analysis.loss_curves(trainings, quantity)
        if curves:
            drawing = svg(
                f"losses-{index}",
                f"{title} over the training steps",
                (5.2, 3.1),
                on_axes(
                    lambda axes, curves=curves, quantity=quantity: analysis.draw_loss_curves(
                        axes, curves, quantity
                    )
                ),
            )
            pictures.append(Picture(drawing, title, "", 5.2))
    return pictures


def validation_picture(
    validation: Record, experts: Sequence[Record], joint: Record | None
) -> Picture:
    """The matrix of relative validation losses."""
    trainings = [*experts, *([joint] if joint else [])]
    own = {record["name"]: tuple(record["timesteps"]) for record in trainings}
    data = analysis.validation_matrix(validation, own)
    width = max(5.2, 1.6 + 0.85 * len(data.ranges))
    drawing = svg(
        "validation",
        "Matrix of validation losses relative to the pretrained model",
        (width, 0.8 + 0.38 * len(data.models)),
        on_axes(lambda axes: analysis.draw_validation_matrix(axes, data)),
    )
    caption = (
        "Change of the denoising loss against the pretrained model in percent: negative is better. "
        "Columns: timesteps, and the pretrained model's own loss there. Frames mark the range an "
        "expert was trained on. Colours follow the signed root of the change."
    )
    return Picture(drawing, "", caption, width)


def cosine_picture(task_vectors: Record) -> Picture | None:
    """The cosines between task vectors; None where there is no pair of them."""
    data = analysis.task_vector_cosines(task_vectors)
    count = len(data.names)
    if count < 2:
        return None
    size = 1.2 + 0.82 * count
    drawing = svg(
        "cosines",
        "Matrix of cosines between the experts' task vectors",
        (size, 0.6 + 0.5 * count),
        on_axes(lambda axes: analysis.draw_task_vector_cosines(axes, data)),
    )
    caption = (
        "Near zero: the experts moved in unrelated directions and can be added up. "
        "On the diagonal the length of each difference."
    )
    return Picture(drawing, "", caption, size)
