"""What a search minimises: a number from the features of a candidate's images."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ..metrics import FeatureStatistics, FrechetReference


class Objective(ABC):
    """A function of features; lower is better."""

    name: str

    @abstractmethod
    def __call__(self, features: Tensor) -> float:
        """The value of images with these features ``(N, D)``."""


class FrechetObjective(Objective):
    """Fréchet distance to the reference, whose root is kept between candidates."""

    name = "frechet"

    def __init__(self, reference: FrechetReference) -> None:
        self.reference = reference

    def __call__(self, features: Tensor) -> float:
        """The distance of the features' Gaussian to the reference's."""
        protocol = self.reference.statistics.protocol  # the evaluator uses the same detector
        return self.reference.distance(FeatureStatistics.from_features(features, protocol))
