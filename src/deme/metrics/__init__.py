"""Features of images, the statistics on them, and the protocol that every number carries.

From images to features:

- :mod:`.detector`: :class:`Detector`; uint8 images in, float32 tables out
- :mod:`.registry`: :func:`load_detector`, every detector by its name
- :mod:`.digits`: the bundled network for 8×8 digits
- :mod:`.pixels`: coarse pixels, a second opinion without a network
- :mod:`.torchscript`: any network in the StyleGAN and EDM papers' TorchScript convention
- :mod:`.inception_fidelity`: torch-fidelity's Inception: features, spatial features, probabilities
- :mod:`.dinov2`: DINOv2's class token, for FD-DINOv2
- :mod:`.clip`: CLIP's embeddings of images and of captions
- :mod:`.preparation`, :mod:`.pretrained`: Pillow's resize on tensors; models of transformers
- :mod:`.fidelity`: torch-fidelity, imported when needed
- :mod:`.perceptual`: LPIPS, of random pairs and before and after
- :mod:`.download`: a detector's URL, downloaded once
- :mod:`.float32`: float32 that is float32 on a GPU too

From features to numbers:

- :mod:`.statistics`: :class:`FeatureStatistics`, mean and covariance, in pytorch-fid's file layout
- :mod:`.frechet`: :class:`FrechetReference`, :func:`frechet_distance` (FID)
- :mod:`.kernel`: :func:`kernel_distance` (KID)
- :mod:`.cmmd`: :func:`cmmd`
- :mod:`.coverage`: :func:`precision_recall`
- :mod:`.density`: :func:`density_coverage`
- :mod:`.inception_score`: :func:`inception_score`
- :mod:`.neighbours`: :func:`nearest_distances`
- :mod:`.floor`: :func:`real_floor`, what the metric says of real images against real images

What they mean:

- :mod:`.protocol`: :class:`Protocol`, how a number was made
- :mod:`.named_protocols`: published ones by name, and :mod:`.prompts`, what they draw from text
- :mod:`.table`: the metrics by name, and :mod:`.inputs`, what they are computed from
- :mod:`.bootstrap`: :class:`IntervalSettings`, how far a number could be another
- :mod:`.notes`: where a sample is too small for a metric
- :mod:`.measurement`: :func:`measure`, :func:`compute_metrics`; :class:`MetricValue`
"""

from .bootstrap import IntervalSettings
from .cmmd import cmmd, cmmd_error
from .coverage import PrecisionRecall, precision_recall
from .density import DensityCoverage, density_coverage, expected_coverage
from .detector import Detector
from .digits import DigitsNetwork
from .floor import RealFloor, real_floor
from .frechet import FrechetReference, frechet_distance
from .inception_score import InceptionScore, inception_score
from .inputs import MetricInputs, MetricSettings
from .kernel import kernel_distance, kernel_distance_error, squared_discrepancy
from .measurement import Measurement, MetricValue, compute_metrics, measure
from .named_protocols import NAMED_PROTOCOLS, NamedProtocol, protocol_named
from .neighbours import nearest_distances, neighbour_radii
from .perceptual import PerceptualDistance, load_lpips, perceptual_diversity
from .prompts import read_prompts
from .protocol import Protocol
from .registry import load_detector
from .statistics import FeatureStatistics
from .table import METRICS, Metric, metric_named, register_metric

__all__ = [
    "METRICS",
    "NAMED_PROTOCOLS",
    "DensityCoverage",
    "Detector",
    "DigitsNetwork",
    "FeatureStatistics",
    "FrechetReference",
    "InceptionScore",
    "IntervalSettings",
    "Measurement",
    "Metric",
    "MetricInputs",
    "MetricSettings",
    "MetricValue",
    "NamedProtocol",
    "PerceptualDistance",
    "PrecisionRecall",
    "Protocol",
    "RealFloor",
    "cmmd",
    "cmmd_error",
    "compute_metrics",
    "density_coverage",
    "expected_coverage",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "kernel_distance_error",
    "load_detector",
    "load_lpips",
    "measure",
    "metric_named",
    "nearest_distances",
    "neighbour_radii",
    "perceptual_diversity",
    "precision_recall",
    "protocol_named",
    "read_prompts",
    "real_floor",
    "register_metric",
    "squared_discrepancy",
]
