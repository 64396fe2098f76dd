"""What a reader should know before trusting a number: where its sample is too small for it.

Each function gives sentences without the metric's name, from the counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from .cmmd import PUBLISHED_DETECTORS
from .inputs import MetricInputs

IMAGES_PER_DIMENSION = 2
"""Below this many images a dimension a covariance is mostly noise, and a note says so."""
LEAST_NEIGHBOUR_IMAGES = 1000
"""Below this many images a manifold of nearest neighbours is a sketch."""
LEAST_SCORED_IMAGES = 5000
"""Below this many images the Inception score's bias shows."""


def covariance_notes(inputs: MetricInputs) -> Iterator[str]:
    """Fewer images than twice the dimensions."""
    dimensions = inputs.generated.shape[1]
    least = IMAGES_PER_DIMENSION * dimensions
    for which, count in _counts(inputs):
        if count < least:
            yield (
                f"{count} {which} images are few for {dimensions} dimensions (fewer than "
                f"{IMAGES_PER_DIMENSION} × D = {least}): the distance is "
                "biased upwards, compare it only at the same counts"
            )


def subset_notes(inputs: MetricInputs) -> Iterator[str]:
    """Fewer images than a subset has."""
    size = inputs.settings.subset_size
    for which, count in _counts(inputs):
        if count < size:
            yield (
                f"{count} {which} images are fewer than a subset's {size}: all of them are in each "
                "subset; the value is unbiased and noisier than published ones"
            )


def neighbour_notes(inputs: MetricInputs) -> Iterator[str]:
    """Few images, or unequal counts: balls shrink as their set grows."""
    for which, count in _counts(inputs):
        if count < LEAST_NEIGHBOUR_IMAGES:
            yield (
                f"{count} {which} images are few for nearest neighbours (fewer than "
                f"{LEAST_NEIGHBOUR_IMAGES}): balls are wide and fractions high, compare them only "
                "at the same counts"
            )
    generated, real = inputs.counts
    if real is not None and real != generated:
        yield (
            f"{generated} generated images are measured against {real} real ones: balls shrink as "
            "their set grows, compare only at these counts"
        )


def score_notes(inputs: MetricInputs) -> Iterator[str]:
    """Few images for the number of classes and splits."""
    count, classes = inputs.generated.shape
    splits = inputs.settings.inception_splits
    if count < LEAST_SCORED_IMAGES:
        yield (
            f"{count} images in {splits} splits are few for {classes} classes (fewer than "
            f"{LEAST_SCORED_IMAGES}): the score is biased downwards, by up to about "
            f"{min(50 * (classes - 1) * splits / count, 100):.0f} %; compare it only at the same "
            "count and splits"
        )


def whole_score_notes(inputs: MetricInputs) -> Iterator[str]:
    """Few images for the number of classes."""
    count, classes = inputs.generated.shape
    if count < LEAST_SCORED_IMAGES:
        yield (
            f"{count} images are few for {classes} classes (fewer than {LEAST_SCORED_IMAGES}): the "
            f"score is biased downwards, by up to about {min(50 * (classes - 1) / count, 100):.0f}"
            " %; compare it only at the same count"
        )


def embedding_notes(inputs: MetricInputs) -> Iterator[str]:
    """Embeddings that the published numbers are not of."""
    protocol = inputs.protocol
    if protocol.known and protocol.detector not in PUBLISHED_DETECTORS:
        yield (
            f"these are features of {protocol.detector}; published values are of CLIP ViT-L/14 at "
            "336 pixels and cannot be compared with this one"
        )


def _counts(inputs: MetricInputs) -> Iterator[tuple[str, int]]:
    generated, real = inputs.counts
    yield "generated", generated
    if real is not None:
        yield "real", real
