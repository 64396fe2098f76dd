"""From the configuration to objectives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...errors import ConfigError
from ...metrics import FrechetReference
from ..config import ObjectiveName, SearchConfig
from .alignment import AlignmentObjective
from .contract import Objective
from .frechet import FrechetObjective
from .kernel import KernelObjective
from .loss import LossObjective
from .reward import RewardObjective
from .weighted_sum import WeightedSum


@dataclass(frozen=True)
class _Materials:
    """What objectives are made from; see :func:`make_objectives`."""

    frechet_reference: FrechetReference | None
    real_features: Tensor | None
    table: str
    text_features: Tensor | None
    text_table: str

    def real(self, name: str) -> Tensor:
        if self.real_features is None:
            raise ConfigError(
                f"The objective {name} needs the real images' features, not their statistics alone",
                fix="give the real images as data, or search.objective=frechet",
            )
        return self.real_features

    def made(self, name: ObjectiveName) -> Objective:
        match name:
            case "frechet":
                if self.frechet_reference is None:
                    raise ConfigError(
                        "The objective frechet needs statistics of real images",
                        fix="give the real images as data, or a file of their statistics",
                    )
                return FrechetObjective(self.frechet_reference, self.table)
            case "kid":
                return KernelObjective.kid(self.real(name), self.table)
            case "cmmd":
                return KernelObjective.cmmd(self.real(name), self.table)
            case "clip_score":
                if self.text_features is None:
                    raise ConfigError(
                        "The objective clip_score needs captions, and this model takes none",
                        fix="choose search.objective=frechet or cmmd, or a text-to-image model",
                    )
                return AlignmentObjective(self.text_features, self.text_table)
            case "reward":
                return RewardObjective()
            case "loss":
                return LossObjective()


def make_objectives(
    config: SearchConfig,
    *,
    frechet_reference: FrechetReference | None,
    real_features: Tensor | None,
    table: str,
    text_features: Tensor | None = None,
    text_table: str | None = None,
) -> list[Objective]:
    """Those that ``config.pareto`` names, in its order; else the one of ``config.objective``.

    Several with their coefficients are one objective, their weighted sum.

    Args:
        config: the search's configuration.
        frechet_reference: the real images' side of the Fréchet distance, for ``frechet``.
        real_features: ``(N, D)`` of the real images by the same detector, for ``kid`` and ``cmmd``.
        table: the name of the table of this detector's features.
        text_features: CLIP embeddings of the captions ``(images, E)``, for ``clip_score``.
        text_table: the name of the table of CLIP's image embeddings; None: ``table``.

    Raises:
        ConfigError: an objective for which something is missing here; names the fix.

    """
    materials = _Materials(
        frechet_reference, real_features, table, text_features, text_table or table
    )
    if config.pareto:
        return [materials.made(name) for name in config.pareto]
    if isinstance(config.objective, str):
        return [materials.made(config.objective)]
    return [WeightedSum({materials.made(name): a for name, a in config.objective.items()})]
