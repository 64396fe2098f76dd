"""The variational bound on the negative log-likelihood, told apart by timestep range.

``L = L_prior + Σ_t L_t + L_0`` (Ho et al., arXiv:2006.11239, Eq. 5), whose timestep t counts from 1
where this project's counts from 0. A range's share is the sum of its own terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import ImageSource
from ..denoisers import Conditioning, Denoiser, NoiseSchedule
from ..errors import ModelError
from ..randomness import generator, noise_like_image
from .partition import Partition, TimestepRange
from .validation_draws import validation_indices

LEVELS = 255
"""Steps between the grey levels 0 and 255, which are −1 and 1 in ``x_0``."""
ROUNDING = 1e-4


@dataclass(frozen=True)
class LikelihoodBound:
    """An upper bound of the negative log-likelihood, in bits for each channel of each pixel.

    Attributes:
        ranges: the share of each range; the first holds the decoder's ``L_0``.
        prior: ``L_prior``, which no model changes.

    """

    ranges: tuple[float, ...]
    prior: float

    @property
    def total(self) -> float:
        """The bound itself."""
        return math.fsum(self.ranges) + self.prior


class _Inputs(NamedTuple):
    """A batch of clean and noisy inputs ``(B, …)`` at ``t`` ``(B,)``."""

    x_0: Tensor
    x_t: Tensor
    t: Tensor
    conditioning: Conditioning


@torch.no_grad()
def likelihood_bound(
    denoiser: Denoiser,
    source: ImageSource,
    partition: Partition,
    *,
    images: int = 512,
    batch_size: int = 256,
    seed: int = 0,
    clip: bool | None = None,
) -> LikelihoodBound:
    """Estimate the bound of a model whose reverse steps have the fixed posterior variance.

    Each image is seen once in each range, at a t drawn with a probability q(t) that is in
    proportion to ``1 − SNR(t)/SNR(t−1)``, for the terms of small t are many times the others'. The
    i-th of n images draws from the i-th n-th of q, and the mean of ``L_t/q(t)`` is the sum over t,
    without bias. ``L_0`` is taken of every image. All derives from ``seed``: models are compared on
    the same draws.

    The last step's posterior variance is zero, and it takes ``β = 1 − ᾱ`` of the first timestep,
    the other of the paper's two choices. (The published code takes the posterior variance of the
    second timestep: about half of that on its schedule, and far too little on a fine one.)

    Args:
        denoiser: predicts ``epsilon``, ``sample`` or ``v`` on a variance-preserving schedule.
        source: the images; the first ``images`` of the validation's seeded permutation are used.
        partition: the ranges.
        images: how many (fewer where the source is smaller).
        batch_size: of the evaluation only; it does not change what is drawn.
        seed: of the permutation, the noise and the timesteps.
        clip: whether the predicted ``x_0`` is clipped to [−1, 1], as samplers do; None: as the
            pipeline's scheduler says.

    Raises:
        ModelError: a model for which the bound is not defined here; see :func:`why_no_bound`.

    """
    if (reason := why_no_bound(denoiser)) is not None:
        raise ModelError(
            f"The likelihood bound is not known for {denoiser.name}: {reason}",
            fix="leave the bound out: the denoising loss is defined for every model",
        )
    if clip is None:
        clip = bool(denoiser.scheduler_config.get("clip_sample", True))
    indices = validation_indices(source, images, seed)
    bits = math.prod(denoiser.sample_shape) * math.log(2)

    def losses(timesteps: Tensor, loss: Callable[[_Inputs, Tensor], Tensor]) -> Tensor:
        """A loss of each image at its own timestep, ``(images,)``."""
        batches = _batches(denoiser, source, indices, timesteps, batch_size, seed)
        return torch.cat([loss(batch, _predicted(denoiser, batch, clip)) for batch in batches])

    def share(timesteps: TimestepRange) -> float:
        nats = 0.0
        steps = range(max(timesteps.low, 1), timesteps.high)
        if steps:
            drawn, probabilities = _stratified(denoiser.schedule, steps, len(indices), seed)
            found = losses(drawn, partial(_step_loss, denoiser.schedule))
            nats += float((found / probabilities).mean())
        if timesteps.low == 0:
            first = torch.zeros(len(indices), dtype=torch.long)
            nats += float(losses(first, partial(_first_loss, denoiser.schedule)).mean())
        return nats / bits

    prior = _prior(denoiser, source, indices, batch_size) / bits
    return LikelihoodBound(tuple(share(timesteps) for timesteps in partition), prior)


def why_no_bound(denoiser: Denoiser) -> str | None:
    """Why the bound is not defined for a model; None where it is."""
    schedule = denoiser.schedule
    if denoiser.prediction == "flow":
        return "it is a flow model, which has no discrete diffusion process to bound"
    if float((schedule.alpha**2 + schedule.sigma**2 - 1).abs().max()) > ROUNDING:
        return "its noise schedule is not variance-preserving"
    if float(schedule.sigma[0]) == 0:
        return "its first timestep has no noise"
    pixels = (denoiser.image_channels, denoiser.resolution, denoiser.resolution)
    if tuple(denoiser.sample_shape) != pixels:
        return "it works on latents, and the bound is one of pixels"
    return None


def step_divergence(schedule: NoiseSchedule, x_0: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """``KL(q(x_{t−1}|x_t, x_0) ‖ p(x_{t−1}|x_t))`` in nats, float64 ``(B,)``.

    Both are Gaussians of the posterior's variance, so it is
    ``½ (SNR(t−1) − SNR(t)) |x_0 − x̂_0|²`` (Kingma et al., arXiv:2107.00630, Eq. 13).

    Args:
        schedule: variance-preserving.
        x_0: clean inputs ``(B, …)``.
        predicted: what the model takes them for, ``(B, …)``.
        t: ``(B,)`` in ``[1, T)``.

    """
    snr, t = schedule.snr.cpu(), t.cpu()
    errors = (_exact(x_0) - _exact(predicted)).square().flatten(1).sum(1)
    return (snr[t - 1] - snr[t]) * errors / 2


def decoder_loss(schedule: NoiseSchedule, x_0: Tensor, predicted: Tensor) -> Tensor:
    """``−log p(x_0|x_1)`` in nats, float64 ``(B,)``: a Gaussian's mass on each grey level.

    The discretised decoder of Ho et al. (Eq. 13): the lowest and highest level take the tails.

    Args:
        schedule: variance-preserving; its first ``σ²`` is the variance.
        x_0: clean inputs ``(B, …)``, the 256 grey levels from −1 to 1.
        predicted: the decoder's means ``(B, …)``.

    """
    x_0, mean = _exact(x_0), _exact(predicted)
    deviation = float(schedule.sigma[0])
    above = (x_0 - mean + 1 / LEVELS) / deviation
    below = (x_0 - mean - 1 / LEVELS) / deviation
    above = above.masked_fill(x_0 > 1 - 1 / LEVELS, math.inf)
    below = below.masked_fill(x_0 < -1 + 1 / LEVELS, -math.inf)
    # In the upper tail both functions are nearly 1: there the difference is taken in the lower.
    upper = below > 0
    high, low = torch.where(upper, -below, above), torch.where(upper, -above, below)
    from_low, from_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    mass = from_high + torch.log1p(-torch.exp(from_low - from_high))
    return -mass.flatten(1).sum(1)


def _step_loss(schedule: NoiseSchedule, batch: _Inputs, predicted: Tensor) -> Tensor:
    return step_divergence(schedule, batch.x_0, predicted, batch.t)


def _first_loss(schedule: NoiseSchedule, batch: _Inputs, predicted: Tensor) -> Tensor:
    return decoder_loss(schedule, batch.x_0, predicted)


def _prior(denoiser: Denoiser, source: ImageSource, indices: list[int], batch_size: int) -> float:
    """``KL(q(x_T|x_0) ‖ N(0, 1))`` in nats, a mean over the images."""
    alpha_bar = float(denoiser.schedule.alpha[-1]) ** 2
    constant = -alpha_bar - math.log(1 - alpha_bar)
    total = 0.0
    for start in range(0, len(indices), batch_size):
        x_0 = _exact(denoiser.encode(source.batch(indices[start : start + batch_size]).images))
        total += float((alpha_bar * x_0.square() + constant).sum()) / 2
    return total / len(indices)


def _predicted(denoiser: Denoiser, batch: _Inputs, clip: bool) -> Tensor:
    """What the model takes ``x_0`` for, float64 ``(B, …)`` on the CPU."""
    output = _exact(denoiser.predict(batch.x_t, batch.t, batch.conditioning))
    schedule = denoiser.schedule
    predicted = schedule.sample(denoiser.prediction, output, _exact(batch.x_t), batch.t)
    return predicted.clamp(-1, 1) if clip else predicted


def _exact(values: Tensor) -> Tensor:
    """In float64, on the CPU: not every device has it."""
    return values.cpu().double()


def _stratified(
    schedule: NoiseSchedule, steps: range, count: int, seed: int
) -> tuple[Tensor, Tensor]:
    """A timestep from each stratum, int64 ``(count,)``, and the probability of each, float64."""
    snr = schedule.snr.cpu()
    shares = 1 - snr[steps.start : steps.stop] / snr[steps.start - 1 : steps.stop - 1]
    shares = shares / shares.sum()
    draws = generator(seed, f"likelihood timesteps [{steps.start}, {steps.stop})")
    places = torch.arange(count) + torch.rand(count, generator=draws, dtype=torch.float64)
    drawn = torch.searchsorted(shares.cumsum(0), places / count).clamp(max=len(steps) - 1)
    return steps.start + drawn, shares[drawn]


def _batches(
    denoiser: Denoiser,
    source: ImageSource,
    indices: list[int],
    timesteps: Tensor,
    batch_size: int,
    seed: int,
) -> Iterator[_Inputs]:
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        own = timesteps[start : start + batch_size]
        batch = source.batch(part)
        x_0 = denoiser.encode(batch.images)
        shape = tuple(x_0.shape[1:])
        noise = torch.stack(
            [
                noise_like_image(seed, index, shape, f"likelihood noise {int(t)}")
                for index, t in zip(part, own, strict=True)
            ]
        ).to(x_0.device)
        t = own.to(x_0.device)
        yield _Inputs(
            x_0,
            denoiser.schedule.add_noise(x_0, noise, t),
            t,
            denoiser.condition(labels=batch.labels, captions=batch.captions),
        )
