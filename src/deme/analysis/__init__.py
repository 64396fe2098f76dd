"""The figures, each a function that returns plain numbers and a function that draws them.

Drawing happens on a :class:`matplotlib.axes.Axes` or :class:`matplotlib.figure.Figure` that the
caller made; no figure knows of pyplot or of a run folder, and importing this room does not import
matplotlib.

===========================  ===================================================================
:mod:`.losses`               denoising and consistency loss over the steps, raw and smoothed
:mod:`.validation`           expert × range validation loss, relative to the pretrained model
:mod:`.cosines`              cosines between task vectors (S6 of the paper), and their norms
:mod:`.merging_weights`      the weights ``w_i`` as signed bars
:mod:`.block_weights`        weights that differ by block, as a matrix
:mod:`.landscape`            the objective over every pair of merging weights, as measured
:mod:`.predicted_landscape`  the same as predicted, in slices through the best (Fig. 6a)
:mod:`.prediction`           predicted against measured values
:mod:`.search_progress`      best value so far against cost
:mod:`.strategy_curves`      several strategies' best so far against cost, judged on held-out noise
:mod:`.pareto_front`         candidates of a search with several objectives
:mod:`.arm_distances`        every arm's distance with deviation, seeds and floor
:mod:`.paired_differences`   a comparison's reference against every other arm, with intervals
:mod:`.quality_time`         a comparison's quality against the cost of a sample
:mod:`.image_grid`           images side by side as one picture (Fig. 5)
:mod:`.search_record`        what a search stored, with types
:mod:`.anchor_titles`        what the points that every search evaluates are called
:mod:`.style`                the colours and the plain axes that all of them share
===========================  ===================================================================

Below them: :mod:`.landscape_marks` and :mod:`.edge_labels` are parts of several drawings.
"""

from .arm_distances import ArmDistance, ArmDistances, arm_distances, draw_arm_distances
from .block_weights import BlockWeights, block_weights, draw_block_weights
from .cosines import TaskVectorCosines, draw_task_vector_cosines, task_vector_cosines
from .image_grid import draw_image_grid, image_grid
from .landscape import Landscape, PairPanel, WeightProfile, landscape
from .landscape_drawing import draw_landscape
from .losses import LossCurve, draw_loss_curves, loss_curves
from .merging_weights import MergingWeights, draw_merging_weights, merging_weights
from .paired_differences import (
    PairedDifference,
    PairedDifferences,
    draw_paired_differences,
    paired_differences,
    paired_differences_size,
)
from .pareto_front import ParetoFront, draw_pareto_front, pareto_front, pareto_pairs
from .predicted_landscape import PredictedLandscape, Slice, predicted_landscape
from .predicted_landscape_drawing import draw_predicted_landscape, predicted_landscape_size
from .prediction import Prediction, draw_prediction, prediction, rank_correlation
from .quality_time import (
    QualityCurve,
    QualityPoint,
    QualityTime,
    draw_quality_time,
    quality_time,
    quality_time_size,
)
from .search_progress import SearchProgress, draw_search_progress, search_progress
from .search_record import Axis, Evaluated, Fresh, SearchRecord
from .strategy_curves import StrategyCurve, draw_strategy_curves, strategy_curves
from .style import axis_label, expert_label, range_label, signed, three_figures
from .validation import ValidationMatrix, draw_validation_matrix, validation_matrix

__all__ = [
    "ArmDistance",
    "ArmDistances",
    "Axis",
    "BlockWeights",
    "Evaluated",
    "Fresh",
    "Landscape",
    "LossCurve",
    "MergingWeights",
    "PairPanel",
    "PairedDifference",
    "PairedDifferences",
    "ParetoFront",
    "PredictedLandscape",
    "Prediction",
    "QualityCurve",
    "QualityPoint",
    "QualityTime",
    "SearchProgress",
    "SearchRecord",
    "Slice",
    "StrategyCurve",
    "TaskVectorCosines",
    "ValidationMatrix",
    "WeightProfile",
    "arm_distances",
    "axis_label",
    "block_weights",
    "draw_arm_distances",
    "draw_block_weights",
    "draw_image_grid",
    "draw_landscape",
    "draw_loss_curves",
    "draw_merging_weights",
    "draw_paired_differences",
    "draw_pareto_front",
    "draw_predicted_landscape",
    "draw_prediction",
    "draw_quality_time",
    "draw_search_progress",
    "draw_strategy_curves",
    "draw_task_vector_cosines",
    "draw_validation_matrix",
    "expert_label",
    "image_grid",
    "landscape",
    "loss_curves",
    "merging_weights",
    "paired_differences",
    "paired_differences_size",
    "pareto_front",
    "pareto_pairs",
    "predicted_landscape",
    "predicted_landscape_size",
    "prediction",
    "quality_time",
    "quality_time_size",
    "range_label",
    "rank_correlation",
    "search_progress",
    "signed",
    "strategy_curves",
    "task_vector_cosines",
    "three_figures",
    "validation_matrix",
]
