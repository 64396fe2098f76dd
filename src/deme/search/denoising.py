"""The denoising loss of a merge as a function of its weights, with derivatives, without sampling.

``L(w)`` is the loss of ``θ + Σ w_i τ_i`` over fixed images, noises and timesteps: a smooth function
of a few numbers. Its gradient costs one backward pass. Because the prediction is nearly linear in
``w`` over the length of a task vector, ``L`` is nearly quadratic, and its minimum has a closed
form. The loss is not the distance between distributions: see
:class:`~deme.search.strategies.gradient.GradientStrategy` for what its minimiser is good for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..denoisers import Conditioning, Denoiser
from ..merge import StateDict, TaskVector
from .functional_merge import FunctionalMerge
from .quadratic_loss import QuadraticLoss

if TYPE_CHECKING:  # training's libraries are not needed here
    from ..data import ImageSource
    from ..decouple import Partition

OUTPUT_OVER_CHANGE = 100
"""About how much larger a prediction is than its change along one task vector."""


class _Batch(NamedTuple):
    """Samples of the loss; ``weight`` is what each counts in the mean over all."""

    x_t: Tensor
    t: Tensor
    target: Tensor
    conditioning: Conditioning
    weight: float


class DenoisingProblem:
    """``L(w) = E‖target − network_{θ(w)}(x_t, t)‖²``, everything random in it held fixed.

    Images, noises and timesteps are those of :func:`~deme.decouple.validation_losses` at the same
    ``images`` and ``seed``. The ranges' losses are averaged by their lengths, so ``L`` is the mean
    over all ``t`` in ``[0, T)``; elements are averaged too. As in training, the target is what the
    network predicts: the noise, the image or ``v``.

    Batches are made anew for each pass and forgotten, so memory does not grow with ``images``.

    Args:
        denoiser: gives the network and what its prediction means. Its own weights are neither
            read nor changed. It should be in evaluation mode.
        base: ``θ``.
        vectors: ``τ_i``.
        source: the images.
        partition: the timestep ranges.
        images: how many images for each range (fewer where the source is smaller).
        seed: of the images' order, the noises and the timesteps.
        batch_size: predictions at once; it does not change what is drawn.

    Raises:
        MismatchError: a task vector of another layout than the base.

    """

    def __init__(
        self,
        denoiser: Denoiser,
        base: StateDict,
        vectors: Sequence[TaskVector],
        source: ImageSource,
        partition: Partition,
        *,
        images: int = 512,
        seed: int = 0,
        batch_size: int = 256,
    ) -> None:
        self.merge = FunctionalMerge(denoiser, base, vectors)
        self.source = source
        self.partition = partition
        self.images = min(images, len(source))
        self.seed = seed
        self.batch_size = batch_size
        self._forward_mode = True

    @torch.no_grad()
    def value(self, weights: Sequence[float]) -> float:
        """``L(w)``, by one forward pass over the samples."""
        merged = self.merge.at(weights)
        total = 0.0
        for batch in self._batches(self.batch_size):
            residual = (self._predict(merged, batch) - batch.target).flatten(1)
            total += batch.weight * float(residual.double().square().mean(1).sum())
        return total

    def value_and_gradient(self, weights: Sequence[float]) -> tuple[float, Tensor]:
        """``L(w)`` and ``∂L/∂w_i = ⟨∇_θ L, τ_i⟩``, float64 ``(N,)``.

        One backward pass for each batch, however many task vectors. ``∇_θ L`` is summed over the
        batches and multiplied by the task vectors once, in the end. With ``w`` itself in the graph
        every batch would merge on its way forward and take the N products on its way back.
        """
        merged = self.merge.at(weights)
        leaves = [item.requires_grad_() for item in merged.values() if item.is_floating_point()]
        total = 0.0
        with torch.enable_grad():
            for batch in self._batches(self.batch_size):
                residual = (self._predict(merged, batch) - batch.target).flatten(1)
                loss = batch.weight * residual.square().mean(1).sum()
                torch.autograd.backward(loss, inputs=leaves)
                total += float(loss.detach())
        gradient = torch.zeros(len(weights), dtype=torch.float64)
        for name, leaf in merged.items():
            if leaf.grad is not None:
                slope = leaf.grad.flatten().double()
                taus = (vector[name].flatten().to(slope) for vector in self.merge.vectors)
                gradient += torch.stack([slope @ tau for tau in taus]).cpu()
        return total, gradient

    @torch.no_grad()
    def quadratic(self, weights: Sequence[float]) -> QuadraticLoss:
        """The Gauss–Newton model of ``L`` around ``w_0``.

        With the residuals ``r`` at ``w_0`` and the prediction's derivatives ``d_i`` along ``τ_i``,
        ``g_i = 2⟨r, d_i⟩`` and ``H_ij = 2⟨d_i, d_j⟩``, both means over samples and elements.
        ``d_i`` is taken by forward mode; where an operation has none, by a central difference of
        the weights, whose error is about 1e-3 of ``d_i`` in float32. One direction at a time, each
        for two or three times a plain pass, so that no second copy of the task vectors is needed.
        """
        count = len(self.merge.vectors)
        merged = self.merge.at(weights)
        value = 0.0
        gradient = torch.zeros(count, dtype=torch.float64)
        hessian = torch.zeros(count, count, dtype=torch.float64)
        for batch in self._batches(self.batch_size):
            output, changes = self._linearised(merged, weights, batch)
            residual = (output - batch.target).flatten().double()
            slopes = torch.stack([change.flatten().double() for change in changes])
            scale = batch.weight * len(batch.t) / residual.numel()
            value += scale * float(residual.square().sum())
            gradient += 2 * scale * (slopes @ residual).cpu()
            hessian += 2 * scale * (slopes @ slopes.T).cpu()
        return QuadraticLoss(tuple(weights), value, gradient, hessian)

    def _linearised(
        self, merged: Mapping[str, Tensor], weights: Sequence[float], batch: _Batch
    ) -> tuple[Tensor, list[Tensor]]:
        """The prediction and its derivatives along the task vectors."""
        if self._forward_mode:
            try:
                return self._derivatives(merged, batch)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                # An operation has no forward mode; anything else, the differences meet too.
                self._forward_mode = False
        return self._predict(merged, batch), self._differences(weights, batch)

    def _derivatives(
        self, merged: Mapping[str, Tensor], batch: _Batch
    ) -> tuple[Tensor, list[Tensor]]:
        pairs = [
            self.merge.derivative(merged, index, lambda: self._output(batch))
            for index in range(len(self.merge.vectors))
        ]
        return pairs[0][0], [change for _, change in pairs]

    def _differences(self, weights: Sequence[float], batch: _Batch) -> list[Tensor]:
        """Central, with the step that balances the prediction's rounding and its third order."""
        kinds = {item.dtype for item in self.merge.base.values() if item.is_floating_point()}
        step = (OUTPUT_OVER_CHANGE * max(torch.finfo(kind).eps for kind in kinds)) ** (1 / 3)

        def moved(index: int, by: float) -> Tensor:
            point = [w + by * (i == index) for i, w in enumerate(weights)]
            return self._predict(self.merge.at(point), batch)

        return [(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(len(weights))]

    def _predict(self, merged: Mapping[str, Tensor], batch: _Batch) -> Tensor:
        return self.merge.call(merged, self._output, batch)

    def _output(self, batch: _Batch) -> Tensor:
        """What the network as it is now predicts, in float32 at least."""
        output = self.merge.denoiser.predict(batch.x_t, batch.t, batch.conditioning)
        return output.to(torch.promote_types(output.dtype, torch.float32))

    def _batches(self, size: int) -> Iterator[_Batch]:
        from ..decouple.validation_draws import validation_batches

        for timesteps in self.partition:
            weight = len(timesteps) / self.partition.num_timesteps / self.images
            batches = validation_batches(
                self.merge.denoiser,
                self.source,
                timesteps,
                images=self.images,
                batch_size=size,
                seed=self.seed,
            )
            for batch in batches:
                yield _Batch(*batch, weight)
