"""Structured pruning: a narrower network for an interval of timesteps, still a plain pipeline.

As in "Mixture of Efficient Diffusion Experts Through Automatic Interval and Sub-Network Selection"
(Ganjdanesh et al., ECCV 2024, arXiv:2409.15557) each interval has a network that lost what matters
least there, and is finetuned afterwards. Two things differ: what matters is measured by a Taylor
expansion of the interval's own loss in place of learned masks; and all layers lose the same share
of their channels (:mod:`.pruning_widths`), so that diffusers loads the result as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from ..data import ImageSource
from ..decouple import TimestepRange
from ..decouple.validation_draws import ValidationBatch, validation_batches
from ..denoisers import Denoiser
from ..errors import ModelError
from .pruning_channels import (
    ChannelGroup,
    best_channels,
    channel_groups,
    keep_channels,
    taylor_scores,
)
from .pruning_time import time_table
from .pruning_unet2d import require_unet2d, skeleton
from .pruning_widths import require_widths

ATTENTION = ("to_q", "to_k", "to_v")
"""Layers whose channels are attention's inner ones."""


def prune(
    denoiser: Denoiser,
    widths: tuple[int, ...],
    source: ImageSource,
    timesteps: TimestepRange,
    *,
    images: int = 256,
    batch_size: int = 64,
    seed: int = 0,
) -> Denoiser:
    """A denoiser whose levels have ``widths`` channels: those that matter most on the interval.

    At the network's own widths it is a clone, bit for bit. Otherwise it is to be finetuned.

    Args:
        denoiser: what is pruned; it stays as it is.
        widths: of each level, from :func:`~.pruning_widths.widths_keeping`.
        source: the images that the loss is measured on.
        timesteps: the interval.
        images: how many of them.
        batch_size: images in one backward pass; scores are summed over the batches.
        seed: of images, noise and timesteps.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        ConfigError: widths that no stock network of this kind can have.
        ModelError: a family or an architecture that cannot be pruned.

    """
    own = require_unet2d(denoiser)
    if widths == tuple(own.config["block_out_channels"]):
        return denoiser.clone()
    require_widths(own.config, widths)
    pruned = skeleton(denoiser, widths)
    shapes = {name: tensor.shape for name, tensor in pruned.weights().items()}
    batches = validation_batches(
        denoiser, source, timesteps, images=images, batch_size=batch_size, seed=seed
    )
    weights = _narrowed(denoiser, shapes, batches)
    weights |= time_table(own, widths[0], timesteps, shapes["time_proj.weight"][0])
    _require_shapes(denoiser.name, weights, shapes)
    # their own memory, in order: what is saved and loaded again computes the same bits
    whole = {n: weights[n].detach().clone(memory_format=torch.contiguous_format) for n in shapes}
    pruned.network.load_state_dict(whole, assign=True)
    pruned.network.requires_grad_(False)
    return pruned


def _narrowed(
    denoiser: Denoiser,
    shapes: Mapping[str, torch.Size],
    batches: Iterable[ValidationBatch],
) -> dict[str, Tensor]:
    """What stays of the weights: the channels with the largest scores on the batches."""
    network = copy.deepcopy(require_unet2d(denoiser))
    cast(nn.Module, network).eval().requires_grad_(True)
    outputs = {
        name.removesuffix(".weight"): shape[0]
        for name, shape in shapes.items()
        if name.endswith(".weight")
    }

    def losses() -> Iterator[Tensor]:
        for batch in batches:
            output = denoiser.predict_with(network, batch.x_t, batch.t, batch.conditioning)
            yield (output.float() - batch.target).square().mean()

    groups = channel_groups(network, lambda model: _example(denoiser, model), outputs)
    scores = taylor_scores(network, groups, losses())
    kept = {group.root: _choice(network, group, scores, outputs) for group in groups}
    weights = keep_channels(network.state_dict(), groups, kept)
    _keep_attention_scale(network, weights, kept)
    return weights


def _example(denoiser: Denoiser, network: nn.Module) -> Tensor:
    device = denoiser.device
    labels = None if denoiser.num_classes is None else torch.zeros(1, dtype=torch.long)
    x_t = torch.zeros((1, *denoiser.sample_shape), device=device)
    t = torch.zeros(1, dtype=torch.long, device=device)
    return denoiser.predict_with(network, x_t, t, denoiser.condition(labels=labels))


def _choice(
    network: UNet2DModel, group: ChannelGroup, scores: dict[str, Tensor], outputs: dict[str, int]
) -> Tensor:
    """What stays of a group: whole heads of attention, else whole groups of the norms."""
    keep, found = outputs[group.root], scores[group.root]
    parent, _, leaf = group.root.rpartition(".")
    norms = network.config["norm_num_groups"]
    if leaf in ATTENTION:
        heads = int(cast(Any, network.get_submodule(parent)).heads)
        return best_channels(found, keep, parts=heads if heads > 1 else len(found))
    if leaf == "time_emb_proj":  # gives a shift for each channel, or a scale and a shift
        width = int(cast(Any, network.get_submodule(parent)).conv1.out_channels)
        both = found.reshape(-1, width)
        chosen = best_channels(both.sum(0), keep // len(both), parts=norms)
        return torch.cat([chosen + width * half for half in range(len(both))])
    return best_channels(found, keep, parts=norms)


def _keep_attention_scale(
    network: UNet2DModel, weights: dict[str, Tensor], kept: dict[str, Tensor]
) -> None:
    """Attention of a single head divides by the root of its width, which is another now."""
    for root, channels in kept.items():
        parent, _, leaf = root.rpartition(".")
        if leaf not in ATTENTION:
            continue
        attention: Any = network.get_submodule(parent)
        if attention.heads == 1:
            ratio = (len(channels) / attention.to_q.out_features) ** 0.5
            for name in (f"{parent}.to_q.weight", f"{parent}.to_q.bias"):
                if name in weights:
                    weights[name] = weights[name] * ratio


def _require_shapes(name: str, weights: dict[str, Tensor], shapes: dict[str, torch.Size]) -> None:
    wrong = [key for key in shapes if key not in weights or weights[key].shape != shapes[key]]
    wrong += [key for key in weights if key not in shapes]
    if wrong:
        raise ModelError(
            f"{name} cannot be pruned to a stock network: {', '.join(wrong[:6])} would not fit",
            fix="take a U-Net of diffusers' plain down, up and attention blocks",
        )
