"""What arms cost: operations of training and of sampling counted, time a sample measured."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from bisect import bisect
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..decouple import DecoupleConfig, train_expert
from ..denoisers import Denoiser, RoutedDenoiser
from ..files import hash_value
from ..generate import ImageRequest, SamplerConfig, generate_images
from ..generate.sampler import build_scheduler
from ..runs.context import RunContext
from ..runs.flops import forward_flops
from ..runs.spec import RunSpec
from ..runs.stages.train import expert_job
from .tasks import sibling

Key = TypeVar("Key", bound=Hashable)
TIMED_IMAGES = 64
"""Images in a timed batch."""
REPEATS = 5
"""Timed batches of each arm, interleaved; the median is shown."""


class FlopCounter:
    """Counts floating-point operations, once for each kind of training.

    A multiplication and an addition are two, as torch counts them; it counts convolutions, matrix
    products and attention.

    Args:
        context: the comparison's own run.

    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self._known: dict[str, float] = {}

    def training_step(self, spec: RunSpec, index: int) -> float:
        """One optimizer step of a run's expert: forward, backward, teacher, whatever it does.

        Where gradients of clusters are compared every k steps, the mean of k steps.
        """
        config = spec.decouple.model_copy(update={"compile": False, "snapshots": 0})
        multitask, every = config.multitask, 1
        if multitask is not None:
            every = multitask.steps_between_games  # measuring affinities is not of any one step
            multitask = multitask.model_copy(update={"cluster_by": "timestep"})
            config = config.model_copy(update={"multitask": multitask})
        key = config.model_copy(update={"learning_rate": 1.0, "steps": 1}).model_dump_json()
        if key not in self._known:
            first = self._counted(spec, config, index, 1)
            later = 0.0 if every == 1 else self._counted(spec, config, index, 2) - first
            self._known[key] = (first + (every - 1) * later) / every
        return self._known[key]

    def _counted(self, spec: RunSpec, config: DecoupleConfig, index: int, steps: int) -> float:
        other = sibling(self.context, spec)
        config = config.model_copy(update={"steps": steps})
        job = dataclasses.replace(expert_job(other, other.experts[index]), config=config)
        counter = FlopCounterMode(display=False)
        with tempfile.TemporaryDirectory() as folder, counter:
            train_expert(job, Path(folder), other.accelerator, checkpointing_steps=steps + 1)
        return float(counter.get_total_flops())


def sample_flops(denoiser: Denoiser, sampler: SamplerConfig) -> float:
    """Operations of the network calls that one image takes, each by the expert that owns its t."""
    timesteps = [int(t) for t in build_scheduler(denoiser, sampler).timesteps]
    if not isinstance(denoiser, RoutedDenoiser):
        return float(forward_flops(denoiser) * len(timesteps))
    networks = {expert.network: expert for expert in denoiser.experts}
    each = {network: forward_flops(expert) for network, expert in networks.items()}
    owners = [bisect(denoiser.boundaries[1:-1], t) for t in timesteps]
    return float(sum(each[denoiser.experts[owner].network] for owner in owners))


def seconds_per_sample(
    models: Mapping[Key, tuple[Denoiser, SamplerConfig]], *, images: int = TIMED_IMAGES
) -> dict[Key, float]:
    """Median seconds an image, the models' batches interleaved.

    Args:
        models: by any key: what draws, and how.
        images: in one batch.

    """
    times: dict[Key, list[float]] = {name: [] for name in models}
    for repeat in range(REPEATS + 1):
        for name, (denoiser, sampler) in models.items():
            labels = None if denoiser.num_classes is None else torch.zeros(images, dtype=torch.long)
            batch = sampler.model_copy(update={"sample_batch_size": images})
            started = time.perf_counter()
            generate_images(denoiser, ImageRequest(batch, repeat, images, labels))
            if repeat:  # the first is the warm-up
                times[name].append((time.perf_counter() - started) / images)
    return {name: statistics.median(series) for name, series in times.items()}


def weight_bytes(denoiser: Denoiser) -> int:
    """Bytes of all weights that must be in memory to sample; shared networks count once."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in denoiser.network.state_dict().values()
    }
    return sum(storages.values())


def architecture(denoiser: Denoiser) -> str:
    """Hash of all that decides how long a call takes: layers, precision, and who serves which t."""
    networks: list[torch.nn.Module] = [denoiser.network]
    routes: Sequence[int] = ()
    if isinstance(denoiser, RoutedDenoiser):
        networks, routes = [expert.network for expert in denoiser.experts], denoiser.boundaries
    distinct = list(dict.fromkeys(networks))
    return hash_value(
        {
            "kind": type(denoiser).__name__,
            "networks": [
                [str(network), sorted({str(tensor.dtype) for tensor in network.parameters()})]
                for network in distinct
            ],
            "owners": [distinct.index(network) for network in networks],
            "routes": list(routes),
        }
    )


def arm_costs(denoiser: Denoiser, sampler: SamplerConfig) -> dict[str, Any]:
    """What one arm's model needs at inference."""
    return {
        "parameters": sum(p.numel() for p in dict.fromkeys(denoiser.network.parameters())),
        "weight_bytes": weight_bytes(denoiser),
        "flops_per_sample": sample_flops(denoiser, sampler),
        "sampler_steps": sampler.sampler_steps,
    }
