"""Which cluster of timesteps a sample's t belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from ..errors import ConfigError
from ..randomness import derive_seed
from .clusters import cluster_by_affinity, cluster_by_snr, cluster_by_timestep
from .gradient_affinity import gradient_affinity
from .job import TrainingJob
from .multitask_config import MultiTaskConfig
from .partition import Partition


class TimestepClusters:
    """The clusters of one training.

    Those by gradients are measured on the weights that training starts from: a resumed training
    takes them from its checkpoint, and measures nothing.

    Args:
        config: how many clusters, and of what.
        job: the model, the images and the seed.
        accelerator: its device; every process has the first one's clusters.

    Raises:
        ConfigError: more clusters, or bins to make them of, than timesteps.

    """

    owner: Tensor
    """The cluster of each timestep, int64 ``(T,)`` on the CPU; there after find or load."""

    def __init__(self, config: MultiTaskConfig, job: TrainingJob, accelerator: Accelerator) -> None:
        self.count = config.clusters
        self.config = config
        self.job = job
        self.accelerator = accelerator
        total = job.pretrained.schedule.num_timesteps
        needed = config.affinity_bins if config.cluster_by == "gradient" else config.clusters
        if needed > total:
            raise ConfigError(
                f"{needed} intervals do not fit {job.pretrained.name}'s {total} timesteps",
                fix="lower multitask.clusters, or multitask.affinity_bins",
            )

    def find(self) -> None:
        """Finds the clusters, unless they were loaded."""
        if hasattr(self, "owner"):
            return
        widths = torch.tensor([len(item) for item in self._found()])
        owner = torch.arange(self.count).repeat_interleave(widths)
        self.owner = cast(Tensor, broadcast(owner.to(self.accelerator.device))).cpu()

    def _found(self) -> Partition:
        schedule = self.job.pretrained.schedule
        if self.config.cluster_by == "timestep":
            return cluster_by_timestep(schedule.num_timesteps, self.count)
        if self.config.cluster_by == "snr":
            return cluster_by_snr(schedule, self.count)
        bins = Partition.uniform(self.config.affinity_bins, schedule.num_timesteps)
        cosines = gradient_affinity(
            (self.job.start or self.job.pretrained).clone().to(self.accelerator.device),
            self.job.source,
            bins,
            images=self.config.affinity_images,
            batch_size=self.job.config.batch_size,
            seed=derive_seed(self.job.seed, "gradient affinity"),
        )
        return cluster_by_affinity(cosines, bins, self.count)

    def features(self) -> Tensor:
        """1 for the cluster that holds t, else 0; float32 ``(T, K)``."""
        return torch.nn.functional.one_hot(self.owner, self.count).float()

    def state(self) -> dict[str, Tensor]:
        """The clusters, by name."""
        return {"owner": self.owner}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what :meth:`state` gave."""
        self.owner = state["owner"]
