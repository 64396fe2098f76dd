"""A ``UNet2DModel`` of other widths than its pipeline's: what pruning makes and saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from diffusers import UNet2DModel

from ..denoisers import Denoiser
from ..denoisers.unet2d import COMPONENT, UNet2DDenoiser
from ..errors import ModelError


class PrunedUNet2D(UNet2DDenoiser):
    """A denoiser whose network has a configuration of its own, which :meth:`save` writes too.

    What it saves is a plain diffusers pipeline; loaded again it is a :class:`UNet2DDenoiser`.
    """

    def save(self, folder: Path) -> None:
        """Writes the pretrained pipeline's files, this network's configuration and its weights."""
        super().save(folder)
        cast(UNet2DModel, self.network).save_config(folder / COMPONENT)


def require_unet2d(denoiser: Denoiser) -> UNet2DModel:
    """The denoiser's network.

    Raises:
        ModelError: the denoiser is of another family.

    """
    if not isinstance(denoiser, UNet2DDenoiser):
        raise ModelError(
            f"{denoiser.name} cannot be pruned: its network is no UNet2DModel",
            fix="leave this arm out",
        )
    return cast(UNet2DModel, denoiser.network)


def skeleton(denoiser: Denoiser, widths: tuple[int, ...]) -> PrunedUNet2D:
    """A denoiser of these widths whose network has shapes and no values (torch's ``meta`` device).

    A stock network makes as many numbers of ``t`` as its finest level has channels. Where that
    level shrinks, the sinusoids give way to a learned table of ``t``, which can hold what is most
    of use; see :mod:`.pruning_time`. The embedding that is made of it keeps its size.

    Args:
        denoiser: of the wider network.
        widths: channels of each level.

    Raises:
        ModelError: the denoiser is of another family, or its time embedding cannot be pruned.

    """
    own = require_unet2d(denoiser)
    changes: dict[str, Any] = {"block_out_channels": widths}
    if widths[0] != own.config["block_out_channels"][0]:
        kind = own.config["time_embedding_type"]
        if kind not in ("positional", "learned"):
            raise ModelError(
                f"{denoiser.name} cannot be pruned: its time embedding is {kind}",
                choices=("positional", "learned"),
            )
        known = own.config["num_train_timesteps"] if kind == "learned" else None
        changes |= {
            "time_embedding_type": "learned",
            "num_train_timesteps": known or denoiser.schedule.num_timesteps,
        }
    changes["time_embedding_dim"] = own.time_embedding.linear_1.out_features
    # from_config would take a default for what the pretrained pipeline's file left out
    public = {name: value for name, value in own.config.items() if not name.startswith("_")}
    with torch.device("meta"):
        network = UNet2DModel(**{**public, **changes})
    network.eval().requires_grad_(False)
    return PrunedUNet2D(
        network,
        denoiser.schedule,
        denoiser.scheduler_config,
        cast(UNet2DDenoiser, denoiser).folder,
        denoiser.name,
    )
