"""The metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import ConfigError
from . import notes
from .cmmd import cmmd as unbiased_cmmd
from .detector import FEATURES, PROBABILITIES, SPATIAL
from .inputs import MetricInputs, MetricSettings
from .kernel import mean_of_subsets

Compute = Callable[[MetricInputs], float]


def _no_notes(inputs: MetricInputs) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True)
class Metric:
    """A metric: a number for two sets of features.

    Attributes:
        name: its name in configurations and tables.
        higher_is_better: which way to go.
        compute: the number, from its inputs.
        paper: where it comes from.
        reads: the detector's table that it is of.
        estimator: how it is estimated, in words, where that is open.
        notes: what to know before trusting it.

    """

    name: str
    higher_is_better: bool
    compute: Compute
    paper: str
    reads: str = FEATURES
    estimator: Callable[[MetricSettings], str] | None = None
    notes: Callable[[MetricInputs], Iterator[str]] = _no_notes


METRICS: dict[str, Metric] = {}
"""Every metric by its name."""

ALIASES = {"fid": "frechet"}
"""Names that people write. The Fréchet distance is FID where the detector is Inception alone."""


def register_metric(
    name: str,
    *,
    higher_is_better: bool,
    paper: str,
    reads: str = FEATURES,
    estimator: Callable[[MetricSettings], str] | None = None,
    notes: Callable[[MetricInputs], Iterator[str]] = _no_notes,
) -> Callable[[Compute], Compute]:
    """Add the decorated function to :data:`METRICS` and return it unchanged."""

    def register(compute: Compute) -> Compute:
        METRICS[name] = Metric(name, higher_is_better, compute, paper, reads, estimator, notes)
        return compute

    return register


def metric_named(name: str) -> Metric:
    """Find the metric of that name.

    Raises:
        ConfigError: no metric has it; lists the names and the nearest.

    """
    metric = METRICS.get(ALIASES.get(name, name))
    if metric is None:
        raise ConfigError(f"There is no metric {name!r}", choices=METRICS, given=name)
    return metric


@register_metric(
    "frechet", higher_is_better=False, paper="arXiv:1706.08500", notes=notes.covariance_notes
)
def frechet(inputs: MetricInputs) -> float:
    """Give the squared Fréchet distance; FID where the detector is Inception."""
    return inputs.frechet


@register_metric(
    "kid",
    higher_is_better=False,
    paper="arXiv:1801.01401",
    estimator=lambda settings: (
        f"unbiased, {settings.subsets} subsets of at most {settings.subset_size}"
    ),
    notes=notes.subset_notes,
)
def kid(inputs: MetricInputs) -> float:
    """Give the kernel distance, unscaled."""
    return mean_of_subsets(inputs.subset_discrepancies)


@register_metric(
    "precision",
    higher_is_better=True,
    paper="arXiv:1904.06991",
    estimator=lambda settings: f"k = {settings.neighbours}",
    notes=notes.neighbour_notes,
)
def precision(inputs: MetricInputs) -> float:
    """Give the fraction of generated images on the real images' manifold."""
    return inputs.precision_recall.precision


@register_metric(
    "recall",
    higher_is_better=True,
    paper="arXiv:1904.06991",
    estimator=lambda settings: f"k = {settings.neighbours}",
    notes=notes.neighbour_notes,
)
def recall(inputs: MetricInputs) -> float:
    """Give the fraction of real images on the generated images' manifold."""
    return inputs.precision_recall.recall


@register_metric(
    "density",
    higher_is_better=True,
    paper="arXiv:2002.09797",
    estimator=lambda settings: f"k = {settings.density_neighbours}",
    notes=notes.neighbour_notes,
)
def density(inputs: MetricInputs) -> float:
    """Give how many real images' balls a generated image is in, over k."""
    return inputs.density_coverage.density


@register_metric(
    "coverage",
    higher_is_better=True,
    paper="arXiv:2002.09797",
    estimator=lambda settings: f"k = {settings.density_neighbours}",
    notes=notes.neighbour_notes,
)
def coverage(inputs: MetricInputs) -> float:
    """Give the fraction of real images whose ball holds a generated one."""
    return inputs.density_coverage.coverage


@register_metric(
    "inception_score",
    higher_is_better=True,
    paper="arXiv:1606.03498",
    reads=PROBABILITIES,
    estimator=lambda settings: f"{settings.inception_splits} splits",
    notes=notes.score_notes,
)
def inception_score(inputs: MetricInputs) -> float:
    """Give the Inception score, a mean over splits."""
    return inputs.inception_score.mean


@register_metric(
    "inception_score_unsplit",
    higher_is_better=True,
    paper="arXiv:1606.03498",
    reads=PROBABILITIES,
    estimator=lambda settings: "all images at once",
    notes=notes.whole_score_notes,
)
def inception_score_unsplit(inputs: MetricInputs) -> float:
    """Give the Inception score of all images at once: less biased, and not the published one."""
    return inputs.inception_score.unsplit


@register_metric(
    "sfid",
    higher_is_better=False,
    paper="arXiv:2103.03841",
    reads=SPATIAL,
    notes=notes.covariance_notes,
)
def sfid(inputs: MetricInputs) -> float:
    """Give the squared Fréchet distance of features that keep where things are."""
    return inputs.frechet


@register_metric(
    "cmmd",
    higher_is_better=False,
    paper="arXiv:2401.09603",
    estimator=lambda settings: "unbiased",
    notes=notes.embedding_notes,
)
def cmmd(inputs: MetricInputs) -> float:
    """Give the squared MMD of embeddings of length one under a Gaussian kernel, times 1 000."""
    return unbiased_cmmd(inputs.real, inputs.generated)
