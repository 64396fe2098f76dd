"""A step whose gradient is agreed on between clusters of timesteps, each with one of its own.

Each cluster's loss is the mean of the loop's own loss (denoising, weighted, and consistency) over
the samples of the whole optimizer step whose t it holds. A cluster that drew no sample is not in
that step's game.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
import torch._functorch.config as compiled_autograd
from accelerate import Accelerator
from torch import Tensor, nn

from ..randomness import derive_seed
from .aggregators import Aggregator, task_weights
from .draws import Draw
from .loss import SampleErrors
from .timestep_clusters import TimestepClusters

ErrorsOf = Callable[[Draw], SampleErrors]
"""The loop's loss of a micro-batch, before its mean."""


class Game:
    """Weights on the clusters' gradients, found anew every few steps and kept in between.

    Args:
        clusters: which cluster a timestep belongs to.
        aggregator: from the gradients' inner products to weights.
        every: the game is played at each step that this divides.
        accelerator: its processes share one game.
        seed: of what an aggregator draws.

    """

    def __init__(
        self,
        clusters: TimestepClusters,
        aggregator: Aggregator,
        every: int,
        accelerator: Accelerator,
        seed: int,
    ) -> None:
        self.clusters = clusters
        self.aggregator = aggregator
        self.every = every
        self.accelerator = accelerator
        self.seed = seed
        self.kept = torch.full((clusters.count,), torch.nan, dtype=torch.float64)
        """Each cluster's weight in the last game it was in, times that game's players."""

    def plays(self, step: int) -> bool:
        """Whether the weights are found anew at this optimizer step."""
        return step % self.every == 0

    def sample_weights(self, draws: Sequence[Draw]) -> Tensor:
        """What the loss of a sample at t is multiplied by between two games, ``(T,)``.

        With it, the mean over all samples is the kept weights' sum over the means of the clusters.
        A cluster that was in no game yet weighs what the others weigh on average.
        """
        counts = self._counts(draws)
        known = torch.where(self.kept.isnan(), self.kept.nanmean(), self.kept)
        weights = known / (counts > 0).sum() * counts.sum() / counts.clamp(min=1)
        return weights[self.clusters.owner]

    def backward(
        self,
        draws: Sequence[Draw],
        errors_of: ErrorsOf,
        consistency: float,
        network: nn.Module,
        step: int,
    ) -> Tensor:
        """Plays, and leaves the agreed gradient in the network's parameters.

        One backward pass of each micro-batch for each cluster in it; memory for a gradient of each.

        Returns:
            The step's means (loss, denoising, consistency), unweighted by the game.

        """
        counts = self._counts(draws)
        players = counts.nonzero().flatten().tolist()
        parameters = [each for each in network.parameters() if each.requires_grad]
        gradients = {k: [torch.zeros_like(each) for each in parameters] for k in players}
        means = torch.zeros(3, device=self.accelerator.device)
        for draw in draws:
            with self.accelerator.no_sync(network), self.accelerator.autocast():
                errors = errors_of(draw)
                means += torch.stack(errors.mean(consistency)).detach() / len(draws)
                losses = errors.each(consistency)
            self._add_gradients(gradients, parameters, draw, losses, counts)
        if self.accelerator.num_processes > 1:
            gradients = {k: self.accelerator.reduce(gradients[k], "sum") for k in players}
        rows = cast("list[list[Tensor]]", list(gradients.values()))
        weights = self._weights(rows, step)
        self.kept[players] = weights * len(players)
        _combine(parameters, rows, weights.tolist())
        return means

    def _add_gradients(
        self,
        gradients: Mapping[int, list[Tensor]],
        parameters: Sequence[nn.Parameter],
        draw: Draw,
        losses: Tensor,
        counts: Tensor,
    ) -> None:
        """Adds what a micro-batch's losses ``(B,)`` are of each cluster's gradient, in place."""
        owners = self.clusters.owner[draw.t]
        present = owners.unique().tolist()
        for k in present:
            rows = (owners == k).nonzero().flatten().to(losses.device, non_blocking=True)
            more = torch.autograd.grad(
                losses[rows].sum() / int(counts[k]),
                parameters,
                retain_graph=k != present[-1],  # the last lets the activations go
                materialize_grads=True,
            )
            torch._foreach_add_(gradients[k], more)

    def _counts(self, draws: Sequence[Draw]) -> Tensor:
        """Samples of each cluster in the step, over all processes; int64 ``(K,)`` on the CPU."""
        owners = self.clusters.owner[torch.cat([draw.t for draw in draws])]
        counts = torch.bincount(owners, minlength=self.clusters.count)
        if self.accelerator.num_processes == 1:
            return counts
        counts = counts.to(self.accelerator.device)
        return cast(Tensor, self.accelerator.reduce(counts, "sum")).cpu()

    def _weights(self, gradients: list[list[Tensor]], step: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # on every process the same
            torch.default_generator.manual_seed(derive_seed(self.seed, "aggregator", step))
            return task_weights(self.aggregator, inner_products(gradients))

    def state(self) -> dict[str, Tensor]:
        """The kept weights, by name."""
        return {"kept": self.kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what :meth:`state` gave."""
        self.kept = state["kept"].clone()


def allow_repeated_backward() -> None:
    """Has networks compiled from now on keep what their backward pass reads: it runs repeatedly."""
    compiled_autograd.donated_buffer = False


def inner_products(gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """``J Jᵀ`` of K gradients, each a list of tensors; float64 ``(K, K)`` on the CPU."""
    products = []
    for pieces in zip(*gradients, strict=True):
        rows = torch.stack([piece.flatten() for piece in pieces])
        products.append(rows @ rows.T)
    return torch.stack(products).cpu().double().sum(0)


def _combine(
    parameters: Sequence[nn.Parameter], gradients: Sequence[list[Tensor]], weights: Sequence[float]
) -> None:
    for gradient, weight in zip(gradients, weights, strict=True):
        torch._foreach_mul_(gradient, weight)
    for other in gradients[1:]:
        torch._foreach_add_(gradients[0], other)
    for parameter, gradient in zip(parameters, gradients[0], strict=True):
        parameter.grad = gradient
