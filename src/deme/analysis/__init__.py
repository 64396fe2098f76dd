"""The figures, each a function that returns plain numbers and a function that draws them.

Drawing happens on a :class:`matplotlib.axes.Axes` or :class:`matplotlib.figure.Figure` that the
caller made; no figure knows of pyplot or of a run folder, and importing this room does not import
matplotlib.

==========================  ====================================================================
:mod:`.losses`              denoising and consistency loss over the steps, raw and smoothed
:mod:`.validation`          expert × range validation loss, relative to the pretrained model
:mod:`.cosines`             cosines between task vectors (S6 of the paper), and their norms
:mod:`.merging_weights`     the weights ``w_i`` as signed bars
:mod:`.landscape`           the objective over every pair of merging weights (Fig. 6a)
:mod:`.search_progress`     best value so far against evaluations
:mod:`.arm_distances`       every arm's distance with deviation, seeds and floor
:mod:`.image_grid`          images side by side as one picture (Fig. 5)
:mod:`.style`               the colours and the plain axes that all of them share
==========================  ====================================================================
"""

from .arm_distances import ArmDistance, ArmDistances, arm_distances, draw_arm_distances
from .cosines import TaskVectorCosines, draw_task_vector_cosines, task_vector_cosines
from .image_grid import draw_image_grid, image_grid
from .landscape import Landscape, PairPanel, WeightProfile, landscape
from .landscape_drawing import draw_landscape
from .losses import LossCurve, draw_loss_curves, loss_curves
from .merging_weights import MergingWeights, draw_merging_weights, merging_weights
from .search_progress import SearchProgress, draw_search_progress, search_progress
from .style import expert_label, range_label, three_figures
from .validation import ValidationMatrix, draw_validation_matrix, validation_matrix

__all__ = [
    "ArmDistance",
    "ArmDistances",
    "Landscape",
    "LossCurve",
    "MergingWeights",
    "PairPanel",
    "SearchProgress",
    "TaskVectorCosines",
    "ValidationMatrix",
    "WeightProfile",
    "arm_distances",
    "draw_arm_distances",
    "draw_image_grid",
    "draw_landscape",
    "draw_loss_curves",
    "draw_merging_weights",
    "draw_search_progress",
    "draw_task_vector_cosines",
    "draw_validation_matrix",
    "expert_label",
    "image_grid",
    "landscape",
    "loss_curves",
    "merging_weights",
    "range_label",
    "search_progress",
    "task_vector_cosines",
    "three_figures",
    "validation_matrix",
]
