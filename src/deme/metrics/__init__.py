"""Features of images, the statistics on them, and the protocol that every number carries.

From images to features:

- :mod:`.detector`: :class:`Detector`, :func:`load_detector`; uint8 images in, float32 features out
- :mod:`.digits`: the bundled network for 8×8 digits
- :mod:`.torchscript`: any network in the StyleGAN and EDM papers' TorchScript convention
- :mod:`.download`: a detector's URL, downloaded once
- :mod:`.float32`: float32 that is float32 on a GPU too

From features to numbers:

- :mod:`.statistics`: :class:`FeatureStatistics`, mean and covariance, in pytorch-fid's file layout
- :mod:`.frechet`: :class:`FrechetReference`, :func:`frechet_distance` (FID)
- :mod:`.kernel`: :func:`kernel_distance` (KID)
- :mod:`.coverage`: :func:`precision_recall`
- :mod:`.neighbours`: :func:`nearest_distances`
- :mod:`.floor`: :func:`real_floor`, what the metric says of real images against real images

What they mean:

- :mod:`.protocol`: :class:`Protocol`, how a number was made
- :mod:`.table`: the metrics by name, and their settings
- :mod:`.measurement`: :func:`measure`, :func:`compute_metrics`; :class:`MetricValue`
"""

from .coverage import PrecisionRecall, precision_recall
from .detector import Detector, load_detector
from .digits import DigitsNetwork
from .floor import RealFloor, real_floor
from .frechet import FrechetReference, frechet_distance
from .kernel import kernel_distance, squared_discrepancy
from .measurement import Measurement, MetricValue, compute_metrics, measure
from .neighbours import nearest_distances, neighbour_radii
from .protocol import Protocol
from .statistics import FeatureStatistics
from .table import METRICS, Metric, MetricInputs, MetricSettings, metric_named, register_metric

__all__ = [
    "METRICS",
    "Detector",
    "DigitsNetwork",
    "FeatureStatistics",
    "FrechetReference",
    "Measurement",
    "Metric",
    "MetricInputs",
    "MetricSettings",
    "MetricValue",
    "PrecisionRecall",
    "Protocol",
    "RealFloor",
    "compute_metrics",
    "frechet_distance",
    "kernel_distance",
    "load_detector",
    "measure",
    "metric_named",
    "nearest_distances",
    "neighbour_radii",
    "precision_recall",
    "real_floor",
    "register_metric",
    "squared_discrepancy",
]
