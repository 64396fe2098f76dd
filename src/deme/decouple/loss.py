"""The expert's loss: denoising, plus consistency to the frozen pretrained model (Eq. 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..denoisers import Conditioning, Denoiser
from .weightings import Weighting


class ExpertLoss(NamedTuple):
    """The loss to minimise and its two parts, each a mean over the batch (scalars)."""

    total: Tensor
    denoising: Tensor
    consistency: Tensor


class SampleErrors(NamedTuple):
    """What an expert's loss is the mean of: errors of the samples of one batch.

    Args:
        denoising: ``(B,)``, mean squared errors of the prediction, weighted.
        kept: ``(B, …)``, squared distances to the teacher's prediction; None without a teacher.

    """

    denoising: Tensor
    kept: Tensor | None

    def mean(self, consistency: float) -> ExpertLoss:
        """The loss of the batch, the distance to the teacher multiplied by ``consistency``."""
        denoising = self.denoising.mean()
        if self.kept is None:
            return ExpertLoss(denoising, denoising, denoising.new_zeros(()))
        kept = self.kept.mean()
        return ExpertLoss(denoising + consistency * kept, denoising, kept)

    def each(self, consistency: float) -> Tensor:
        """The loss of each sample, ``(B,)``; their mean is the batch's but for rounding."""
        if self.kept is None:
            return self.denoising
        return self.denoising + consistency * self.kept.flatten(1).mean(1)


def expert_loss(
    denoiser: Denoiser,
    network: nn.Module,
    teacher: Denoiser | None,
    *,
    x_0: Tensor,
    noise: Tensor,
    t: Tensor,
    conditioning: Conditioning,
    consistency: float = 1.0,
    weighting: Weighting | None = None,
    teacher_output: Tensor | None = None,
) -> ExpertLoss:
    """``‖ε − ε_θi(x_t, t)‖² + c·‖ε_θ(x_t, t) − ε_θi(x_t, t)‖²``, both means over all elements.

    The paper has ``c = 1`` and ε-prediction; for another prediction both terms are taken on what
    the network predicts. ``ε_θ`` is the pretrained model and never changes. (The published code's
    logging step overwrites it with the expert's average; that is not done here.)

    Args:
        denoiser: gives the schedule and what the prediction means.
        network: the expert's network, perhaps wrapped.
        teacher: the frozen pretrained denoiser; None leaves the second term out.
        x_0: clean inputs ``(B, …)``.
        noise: standard normal, as ``x_0``.
        t: ``(B,)`` in ``[0, T)``.
        conditioning: tensors of leading size ``B``.
        consistency: the coefficient ``c ≥ 0``.
        weighting: a weight per sample from t on the denoising term; None is 1 everywhere.
        teacher_output: the teacher's prediction where it is known already.

    """
    return sample_errors(
        denoiser,
        network,
        teacher if consistency else None,
        x_0=x_0,
        noise=noise,
        t=t,
        conditioning=conditioning,
        weighting=weighting,
        teacher_output=teacher_output,
    ).mean(consistency)


def sample_errors(
    denoiser: Denoiser,
    network: nn.Module,
    teacher: Denoiser | None,
    *,
    x_0: Tensor,
    noise: Tensor,
    t: Tensor,
    conditioning: Conditioning,
    weighting: Weighting | None = None,
    teacher_output: Tensor | None = None,
) -> SampleErrors:
    """The errors that :func:`expert_loss`, which has the same arguments, is the mean of."""
    x_t = denoiser.schedule.add_noise(x_0, noise, t)
    target = denoiser.schedule.target(denoiser.prediction, x_0, noise, t)
    output = denoiser.predict_with(network, x_t, t, conditioning).float()
    per_sample = (output - target).square().flatten(1).mean(1)
    if weighting is not None:
        per_sample = per_sample * weighting(denoiser, t).to(per_sample)
    if teacher is None:
        return SampleErrors(per_sample, None)
    if teacher_output is None:
        teacher_output = teacher_prediction(teacher, x_t, t, conditioning)
    return SampleErrors(per_sample, (output - teacher_output).square())


def teacher_prediction(
    teacher: Denoiser, x_t: Tensor, t: Tensor, conditioning: Conditioning
) -> Tensor:
    """The frozen model's prediction in its own precision, returned in float32."""
    dtype = next(teacher.network.parameters()).dtype
    with torch.no_grad():
        return teacher.predict(x_t.to(dtype), t, conditioning).float()
