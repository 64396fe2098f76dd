"""How far the gradients of different timesteps agree: ANT's task affinity, DeMe's figure 1a."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import ImageSource
from ..denoisers import Denoiser
from .partition import Partition, TimestepRange
from .validation_draws import validation_batches


@torch.enable_grad()
def gradient_affinity(
    denoiser: Denoiser,
    source: ImageSource,
    bins: Partition,
    *,
    images: int = 512,
    batch_size: int = 64,
    seed: int = 0,
) -> Tensor:
    """Cosines between the mean gradients of bins of timesteps, float64 ``(bins, bins)``.

    The gradient is that of the plain denoising loss by all parameters, at weights that stay as
    they are. Every bin is measured on the same images. ANT's task affinity score is this with one
    bin for each timestep. A gradient that is zero is a right angle to all others.

    Args:
        denoiser: measured on a copy: neither its weights nor its settings change.
        source: the images; the first ``images`` of a seeded permutation are used.
        bins: of timesteps.
        images: how many images (fewer where the source is smaller).
        batch_size: of one backward pass; it does not change what is drawn.
        seed: of the permutation, the noise and the timesteps.

    """
    twin = denoiser.clone()
    twin.network.requires_grad_(True).eval()
    gradients = []
    for timesteps in bins:
        gradient = mean_gradient(
            twin, source, timesteps, images=images, batch_size=batch_size, seed=seed
        )
        gradients.append(gradient / gradient.norm().clamp(min=torch.finfo(gradient.dtype).tiny))
    cosines = torch.stack([torch.stack([a @ b for b in gradients]) for a in gradients])
    return cosines.double()


def mean_gradient(
    denoiser: Denoiser,
    source: ImageSource,
    timesteps: TimestepRange,
    *,
    images: int,
    batch_size: int,
    seed: int,
) -> Tensor:
    """The denoising loss's gradient on one range, float32 ``(P,)`` on the CPU.

    Args:
        denoiser: its network's parameters require gradients; their ``grad`` is not touched.
        source: the images.
        timesteps: the range, over which t is spread evenly.
        images: how many images.
        batch_size: of one backward pass.
        seed: of the permutation, the noise and the timesteps.

    """
    parameters = list(denoiser.network.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    count = 0
    for batch in validation_batches(
        denoiser, source, timesteps, images=images, batch_size=batch_size, seed=seed
    ):
        output = denoiser.predict(batch.x_t, batch.t, batch.conditioning).float()
        loss = (output - batch.target).square().flatten(1).mean(1).sum()
        torch._foreach_add_(total, torch.autograd.grad(loss, parameters, materialize_grads=True))
        count += len(batch.t)
    return torch.cat([part.flatten() for part in total]).float().cpu() / count
