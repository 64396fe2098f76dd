"""A base's component under diffusers' names, and experts brought from there to the base's own."""

from __future__ import annotations

import functools

from .aligning import align_weights
from .contract import DeltaSource, ModelSource, WeightSource
from .converting import ConvertedWeights, RestoredDeltas, RestoredWeights, way_back
from .single_file import as_diffusers, is_original, takes_pooled


class View:
    """One of the base's components.

    Args:
        base: the model.
        component: the name of one of its components, which must be weights.

    """

    def __init__(self, base: ModelSource, component: str) -> None:
        own = base.components[component]
        if not isinstance(own, WeightSource):
            raise TypeError(f"{component} of {base.origin} has no weights")
        self.base, self.component, self.own = base, component, own
        self.original = base.form == "file" and is_original(own.layout)

    @property
    def diffusers(self) -> WeightSource:
        """The component under diffusers' names.

        Raises:
            ModelError: the base is a single file that is neither in diffusers' names nor in those
                of Stable Diffusion 1.x, 2.x or XL.

        """
        return self._converted if self.original else self.own

    @functools.cached_property
    def _converted(self) -> ConvertedWeights:
        pooled = takes_pooled(self.base.components)
        return as_diffusers(self.component, self.own, has_pooled=pooled)

    def weights(self, expert: WeightSource) -> WeightSource:
        """An expert's component under the base's own names.

        Args:
            expert: in diffusers' names, or in those of the original code.

        Raises:
            MismatchError: another architecture.
            ModelError: the names cannot be converted.

        """
        original = is_original(expert.layout)
        if original == self.original and not expert.layout.keys().isdisjoint(self.own.layout):
            return align_weights(expert, self.own)
        if original:
            pooled = any(name.startswith("add_embedding.") for name in self.diffusers.layout)
            expert = as_diffusers(self.component, expert, has_pooled=pooled)
        aligned = align_weights(expert, self.diffusers)
        if not self.original:
            return aligned
        routes = way_back(self._converted.plan, self.own.layout)
        return RestoredWeights(aligned, routes, self.own.layout)

    def delta(self, delta: DeltaSource) -> DeltaSource:
        """Differences in the names of :attr:`diffusers`, under the base's own."""
        if not self.original:
            return delta
        routes = way_back(self._converted.plan, self.own.layout)
        return RestoredDeltas(delta, routes, self.own.layout)


def is_part(base: ModelSource) -> bool:
    """Whether the base is one component, so that an expert's others are not meant."""
    return base.form == "component" or len(base.components) == 1
