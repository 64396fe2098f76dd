"""The one contract that all else knows: a network that predicts from ``(x_t, t, conditioning)``."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ..errors import MismatchError
from .schedule import NoiseSchedule, Prediction

Conditioning = Mapping[str, Tensor]
"""Named tensors with a leading batch axis that the network takes beside ``x_t`` and ``t``."""

Placement = Literal["none", "foldable", "block"]
"""Where channel-wise projections go: nowhere, on layers that absorb them, after whole blocks."""

PROJECTIONS = "channel_projections"
"""The network's attribute that holds projections which cannot be folded."""
PROJECTIONS_FILE = f"{PROJECTIONS}.safetensors"
"""Where they are saved, beside a stock pipeline's own files."""


class Denoiser(ABC):
    """A pretrained, expert, merged or routed model.

    Subclasses adapt one model family. Nothing outside them may assume a U-Net, pixels, or that
    ``x_t`` has the shape of an image.
    """

    network: nn.Module
    """The network that is finetuned and merged."""
    schedule: NoiseSchedule
    """``α``, ``σ`` and SNR over t."""
    prediction: Prediction
    """What the network's output means."""
    sample_shape: tuple[int, ...]
    """Shape of one ``x_t`` without the batch axis."""
    resolution: int
    """Side of a decoded image in pixels."""
    image_channels: int
    """Channels of a decoded image: 1 or 3."""
    num_classes: int | None
    """Number of class labels, or None where the model takes none."""
    scheduler_config: Mapping[str, Any]
    """Configuration from which any of diffusers' schedulers can be built for this model."""
    component: str = "unet"
    """The network's name in its pipeline."""
    name: str
    """Where the model came from: a hub id or a folder's name."""

    @abstractmethod
    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """The output of ``network`` called as this family calls its networks.

        Args:
            network: this denoiser's network, or the same wrapped (compiled, distributed).
            x_t: ``(B, *sample_shape)``.
            t: ``(B,)`` in ``[0, T)``.
            conditioning: tensors of leading size ``B``.

        Returns:
            ``(B, *sample_shape)``.

        """

    @abstractmethod
    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        """The conditioning that ``labels`` ``(B,)`` or ``captions`` mean to this model."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """uint8 images ``(B, C, H, W)`` to ``x_0`` of shape ``(B, *sample_shape)``, float32."""

    @abstractmethod
    def decode(self, x_0: Tensor) -> Tensor:
        """``x_0`` of shape ``(B, *sample_shape)`` to uint8 images ``(B, C, H, W)``."""

    @abstractmethod
    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        """Where channel-wise projections go in the network, for a placement."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes a normal diffusers pipeline: the pretrained one's files with these weights."""

    def predict(self, x_t: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The network's output at ``x_t``; see :meth:`predict_with`."""
        return self.predict_with(self.network, x_t, t, conditioning)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.network.parameters()).device

    def weights(self) -> dict[str, Tensor]:
        """The network's tensors by name (views, not copies)."""
        return {name: tensor.detach() for name, tensor in self.network.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copies ``weights`` into the network in place; cheap enough to switch candidates.

        Raises:
            MismatchError: names or shapes differ from the network's; nothing is changed then.

        """
        own = self.weights()
        problems = [f"missing {name}" for name in own if name not in weights]
        problems += [f"unexpected {name}" for name in weights if name not in own]
        problems += [
            f"{name} is {tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in weights and weights[name].shape != tensor.shape
        ]
        if problems:
            raise MismatchError(
                f"These weights do not fit {self.name}: {'; '.join(problems[:6])}"
                + (f"; and {len(problems) - 6} more" if len(problems) > 6 else ""),
                fix="use weights of the same architecture as the pretrained model",
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])

    def clone(self) -> Self:
        """A denoiser of its own network, all else shared."""
        twin = copy.copy(self)
        twin.network = copy.deepcopy(self.network)
        return twin

    def to(self, device: torch.device | str) -> Self:
        """Moves the network and the schedule to ``device``, in place."""
        self.network.to(device)
        self.schedule = self.schedule.to(device)
        return self

    def num_parameters(self) -> int:
        """How many parameters the network has."""
        return sum(parameter.numel() for parameter in self.network.parameters())


class ProjectionSite:
    """A place for a channel-wise projection: a module of the network and its channel count."""

    __slots__ = ("channels", "module_name")

    def __init__(self, module_name: str, channels: int) -> None:
        self.module_name = module_name
        self.channels = channels

    def __repr__(self) -> str:
        return f"ProjectionSite({self.module_name!r}, {self.channels})"
