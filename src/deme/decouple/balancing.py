"""How one optimizer step's losses, over many timesteps, become one gradient.

The training loop asks :class:`Balancing` for its backward pass and nothing more. Plain training,
fixed and learned weightings and the games between clusters of timesteps all are one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..denoisers import Denoiser
from ..errors import ConfigError
from ..randomness import derive_seed
from .aggregators import make_aggregator
from .config import learning_rate_factor
from .draws import Draw
from .game import ErrorsOf, Game, allow_repeated_backward
from .job import TrainingJob
from .multitask_config import MultiTaskConfig
from .timestep_clusters import TimestepClusters
from .uncertainty import FOURIER_FEATURES, LogVariance, fourier_features
from .weightings import Weighting, make_weighting


class Balancing:
    """The backward pass of a step.

    Args:
        network: distributed and compiled, as the loss is computed with.
        accelerator: precision and processes.
        job: its consistency and how its learning rate goes.
        fixed: the fixed weighting, or None for 1 everywhere.
        log_variance: the learned weighting, or None.
        clusters: what the learned weighting or the game is over, where that is clusters.
        game: between the clusters, or None.

    """

    def __init__(
        self,
        network: nn.Module,
        accelerator: Accelerator,
        job: TrainingJob,
        *,
        fixed: Weighting | None = None,
        log_variance: LogVariance | None = None,
        clusters: TimestepClusters | None = None,
        game: Game | None = None,
    ) -> None:
        self.network = network
        self.accelerator = accelerator
        self.job = job
        self.log_variance = log_variance
        self.clusters = clusters
        self.game = game
        self.weighting = _product(fixed, log_variance)
        """Weight of each sample's denoising error, fixed and learned; None is 1 everywhere."""
        parts = {"clusters": clusters, "log_variance": log_variance, "game": game}
        self._parts = {name: part for name, part in parts.items() if part is not None}

    def prepare(self) -> None:
        """Finds the clusters of timesteps, where there are to be any and none were loaded."""
        if self.clusters is not None:
            self.clusters.find()

    def backward(self, draws: Sequence[Draw], errors_of: ErrorsOf, step: int) -> Tensor:
        """Leaves the step's gradient in the network's parameters.

        A learned weighting takes its own step here: the next forward pass is the first to see it.

        Args:
            draws: the step's micro-batches on this process.
            errors_of: the loop's loss of a micro-batch, weighted by :attr:`weighting`.
            step: the optimizer step, from 0.

        Returns:
            The step's means (loss, denoising, consistency), not synced.

        """
        if self.log_variance is not None:
            errors_of = self.log_variance.watching(errors_of, 1 / len(draws))
        game, consistency = self.game, self.job.consistency
        if game is not None and game.plays(step):
            means = game.backward(draws, errors_of, consistency, self.network, step)
        else:
            weights = None if game is None else game.sample_weights(draws)
            means = self._descend(draws, errors_of, weights)
        if self.log_variance is not None:
            means[0] += self.log_variance.step(learning_rate_factor(self.job.config, step))
        return means

    def _descend(
        self, draws: Sequence[Draw], errors_of: ErrorsOf, weights: Tensor | None
    ) -> Tensor:
        """The gradient of the mean loss; ``weights`` over t ``(T,)`` multiply each sample's."""
        accelerator, consistency = self.accelerator, self.job.consistency
        means = torch.zeros(3, device=accelerator.device)
        for micro, draw in enumerate(draws):
            last = micro == len(draws) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                with accelerator.autocast():
                    errors = errors_of(draw)
                    loss = errors.mean(consistency)
                    minimised = loss.total
                    if weights is not None:
                        each = errors.each(consistency)
                        minimised = (weights[draw.t].to(each) * each).mean()
                accelerator.backward(minimised / len(draws))
            means += torch.stack(loss).detach() / len(draws)
        return means

    def state(self) -> dict[str, Tensor]:
        """What changes from step to step, by name; empty for plain training."""
        return {
            f"{name}.{key}": value.detach().cpu()
            for name, part in self._parts.items()
            for key, value in part.state().items()
        }

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a state is of a training that was balanced as this one is."""
        return {name.split(".", 1)[0] for name in state} == self._parts.keys()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what :meth:`state` gave."""
        for name, part in self._parts.items():
            start = f"{name}."
            own = {key.removeprefix(start): v for key, v in state.items() if key.startswith(start)}
            part.load(own)


def make_balancing(
    job: TrainingJob, denoiser: Denoiser, network: nn.Module, accelerator: Accelerator
) -> Balancing:
    """What the job's configuration asks for.

    One cluster has nothing to be balanced with: it is plain training, whatever the method.

    Args:
        job: the training.
        denoiser: the one in training; its schedule is where the loss is computed.
        network: its network, distributed and compiled.
        accelerator: device, precision and processes.

    Raises:
        ConfigError: gradients are to be aggregated in fp16, or clusters do not fit the timesteps.
        MissingExtraError: an aggregator's package is not installed.

    """
    config, multitask = job.config, job.config.multitask
    fixed = make_weighting(config.weighting, gamma=config.weighting_gamma, k=config.weighting_k)
    fixed = None if fixed is None else _tabulated(fixed, denoiser)
    log_variance = clusters = game = None
    if config.weighting == "learned":
        features = fourier_features(denoiser.schedule, job.seed)
        log_variance = LogVariance(
            lambda: features, FOURIER_FEATURES, config.learned_rate, accelerator
        )
    if multitask is not None and multitask.clusters > 1:
        clusters = TimestepClusters(multitask, job, accelerator)
        if multitask.method == "uncertainty":
            rate = multitask.uncertainty_learning_rate
            log_variance = LogVariance(clusters.features, clusters.count, rate, accelerator)
        else:
            game = _make_game(job, multitask, clusters, accelerator)
    return Balancing(
        network,
        accelerator,
        job,
        fixed=fixed,
        log_variance=log_variance,
        clusters=clusters,
        game=game,
    )


def _make_game(
    job: TrainingJob,
    multitask: MultiTaskConfig,
    clusters: TimestepClusters,
    accelerator: Accelerator,
) -> Game:
    if accelerator.mixed_precision == "fp16":
        raise ConfigError(
            f"multitask.method: {multitask.method} compares gradients, which fp16 scales and lets "
            "overflow",
            fix="use mixed_precision: bf16 or no, or multitask.method: uncertainty",
        )
    if job.config.compile:
        allow_repeated_backward()
    return Game(
        clusters,
        make_aggregator(multitask.method),
        multitask.steps_between_games,
        accelerator,
        derive_seed(job.seed, "game", job.name),
    )


def _tabulated(weighting: Weighting, denoiser: Denoiser) -> Weighting:
    """The same weighting with its table made once."""
    table = weighting(denoiser, torch.arange(denoiser.schedule.num_timesteps))
    return lambda denoiser, t: table[t.to(table.device)]


def _product(fixed: Weighting | None, log_variance: LogVariance | None) -> Weighting | None:
    if log_variance is None:
        return fixed
    if fixed is None:
        return log_variance.weighting

    def both(denoiser: Denoiser, t: Tensor) -> Tensor:
        learned = log_variance.weighting(denoiser, t)
        return fixed(denoiser, t).to(learned) * learned

    return both
