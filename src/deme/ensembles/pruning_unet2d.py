"""A ``UNet2DModel`` of other widths than its pipeline's: what pruning makes and saves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import UNet2DModel

from ..denoisers import Denoiser
from ..denoisers.unet2d import COMPONENT, UNet2DDenoiser
from ..errors import ModelError

Widths = tuple[int, ...]
"""Channels of each level, from the finest."""


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


def kept_groups(config: Mapping[str, Any], widths: Widths) -> int:
    """How many groups of channels the norms keep at these widths."""
    return config["norm_num_groups"] * widths[0] // config["block_out_channels"][0]


def skeleton(denoiser: Denoiser, widths: Widths) -> PrunedUNet2D:
    """A denoiser of these widths whose network has shapes and no values (torch's ``meta`` device).

    A stock network makes as many numbers of ``t`` as its finest level has channels. Where that
    level shrinks, the sinusoids give way to a learned table of ``t``, which can hold what is most
    of use; see :mod:`.pruning_time`. The embedding that is made of it keeps its size.

    Args:
        denoiser: of the wider network.
        widths: channels of each level; see :mod:`.pruning_widths`.

    Raises:
        ModelError: the denoiser is of another family, or its time embedding cannot be pruned.

    """
    own = require_unet2d(denoiser)
    # from_config would take a default for what the pretrained pipeline's file left out
    config = {name: value for name, value in own.config.items() if not name.startswith("_")}
    if widths != tuple(config["block_out_channels"]):
        config |= _changes(denoiser, config, widths)
    config["time_embedding_dim"] = own.time_embedding.linear_1.out_features
    with torch.device("meta"):
        network = UNet2DModel(**config)
    network.eval().requires_grad_(False)
    return PrunedUNet2D(
        network,
        denoiser.schedule,
        denoiser.scheduler_config,
        cast(UNet2DDenoiser, denoiser).folder,
        denoiser.name,
    )


def _changes(denoiser: Denoiser, config: Mapping[str, Any], widths: Widths) -> dict[str, Any]:
    kind = config["time_embedding_type"]
    if kind not in ("positional", "learned"):
        raise ModelError(
            f"{denoiser.name} cannot be pruned: its time embedding is {kind}",
            choices=("positional", "learned"),
        )
    known = config["num_train_timesteps"] if kind == "learned" else None
    own, kept = config["attn_norm_num_groups"], kept_groups(config, widths)
    return {
        "block_out_channels": widths,
        "norm_num_groups": kept,
        "attn_norm_num_groups": own and own * kept // config["norm_num_groups"],
        "time_embedding_type": "learned",
        "num_train_timesteps": known or denoiser.schedule.num_timesteps,
    }
