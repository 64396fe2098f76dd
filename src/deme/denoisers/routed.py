"""The ensemble before merging: an expert per timestep range, routed by t."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from ..errors import ConfigError, ModelError
from .contract import Conditioning, Denoiser, Placement, ProjectionSite


class RoutedDenoiser(Denoiser):
    """Uses expert ``i`` for ``t`` in ``[boundaries[i], boundaries[i + 1])``.

    It splits by ``t`` itself. (The published code splits by the sampler's step index, which is
    another split as soon as the sampler's timesteps are not uniform.)

    Args:
        experts: N denoisers of one family.
        boundaries: N + 1 increasing timesteps, the first 0 and the last T.

    Raises:
        ConfigError: no expert, or boundaries that do not cover ``[0, T)`` once for the experts.

    """

    def __init__(self, experts: Sequence[Denoiser], boundaries: Sequence[int]) -> None:
        if len(boundaries) != len(experts) + 1:
            raise ConfigError(
                f"{len(experts)} experts need {len(experts) + 1} boundaries, not {len(boundaries)}"
            )
        if not experts:
            raise ConfigError("A routed ensemble needs an expert", fix="give at least one")
        first = experts[0]
        edges, total = list(boundaries), first.schedule.num_timesteps
        if edges[0] != 0 or edges[-1] != total or any(a >= b for a, b in pairwise(edges)):
            raise ConfigError(
                f"The boundaries {edges} do not cover the model's timesteps [0, {total}) once",
                fix=f"give increasing boundaries from 0 to {total}",
            )
        self.experts = tuple(experts)
        self.boundaries = tuple(boundaries)
        self.network = nn.ModuleList([expert.network for expert in experts])
        self.schedule = first.schedule
        self.prediction = first.prediction
        self.sample_shape = first.sample_shape
        self.resolution = first.resolution
        self.image_channels = first.image_channels
        self.num_classes = first.num_classes
        self.scheduler_config = first.scheduler_config
        self.name = f"{first.name} (routed, {len(experts)} experts)"

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Each sample's prediction by the expert that owns its ``t``; see the contract.

        ``network`` is a list of the experts' networks. Which of them are needed is read from
        ``t``, so a call waits for the device.
        """
        # by number: children() would give a network that owns several ranges once only
        networks = [network.get_submodule(str(index)) for index in range(len(self.experts))]
        inner = torch.tensor(self.boundaries[1:-1], device=t.device, dtype=t.dtype)
        owner = torch.bucketize(t.contiguous(), inner, right=True)
        owners = owner.unique().tolist()
        if len(owners) == 1:
            only = owners[0]
            return self.experts[only].predict_with(networks[only], x_t, t, conditioning)
        output = torch.empty_like(x_t)
        for index in owners:
            mine = owner == index
            part = {name: tensor[mine] for name, tensor in conditioning.items()}
            expert = self.experts[index]
            output[mine] = expert.predict_with(networks[index], x_t[mine], t[mine], part)
        return output

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        """As the experts do."""
        return self.experts[0].condition(labels=labels, captions=captions)

    def encode(self, images: Tensor) -> Tensor:
        """As the experts do."""
        return self.experts[0].encode(images)

    def decode(self, x_0: Tensor) -> Tensor:
        """As the experts do."""
        return self.experts[0].decode(x_0)

    def clone(self) -> Self:
        """An ensemble of clones."""
        return type(self)([expert.clone() for expert in self.experts], self.boundaries)

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        """None: an ensemble is not trained."""
        return ()

    def save(self, folder: Path) -> None:
        """Raises: an ensemble is several models and no stock pipeline holds it."""
        raise ModelError(
            "A routed ensemble is not one model and cannot be saved as a pipeline",
            fix="save each expert, or merge them first",
        )
