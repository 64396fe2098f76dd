"""Mean and covariance of features, with their count and protocol, in pytorch-fid's file layout."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, ProtocolError, StorageError
from ..files import atomic_path
from .protocol import Protocol

CHUNK = 4096
NOT_STATISTICS = (
    *(ValueError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, DataError),
)
"""What reading a file that is damaged, or holds something else, may raise."""


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """The moments of a set of features, all float64 on the CPU.

    Attributes:
        mean: ``(D,)``.
        covariance: ``(D, D)``, symmetric, divided by count − 1 as numpy's ``cov`` does.
        count: number of images; None where the file did not say.
        protocol: how the features were made; unknown for files of other programs.

    Raises:
        DataError: shapes do not agree, or a value is not finite.

    """

    mean: Tensor
    covariance: Tensor
    count: int | None = None
    protocol: Protocol = field(default_factory=Protocol)

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if tuple(self.mean.shape) != (size,) or tuple(self.covariance.shape) != (size, size):
            raise DataError(
                f"A mean of shape {tuple(self.mean.shape)} and a covariance of shape "
                f"{tuple(self.covariance.shape)} do not belong together"
            )
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            raise DataError("The statistics hold values that are not finite")

    @property
    def dimensions(self) -> int:
        """D, the number of features of one image."""
        return self.mean.numel()

    @classmethod
    def from_features(cls, features: Tensor, protocol: Protocol | None = None) -> Self:
        """Sum the moments of features ``(N, D)`` in float64, about their mean.

        Raises:
            DataError: fewer than two rows, another shape, or a value that is not finite.

        """
        require_features(features, at_least=2)
        mean = features.mean(dim=0, dtype=torch.float64)
        scatter = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
        for chunk in features.split(CHUNK):
            centred = chunk.to(torch.float64) - mean
            scatter += centred.T @ centred
        covariance = (scatter + scatter.T) / (2 * (len(features) - 1))
        return cls(mean, covariance, len(features), protocol or Protocol())

    def merged(self, other: FeatureStatistics) -> FeatureStatistics:
        """Join the statistics of both sets, as if counted in one pass.

        ``S = S_a + S_b + δδᵀ·n_a·n_b/(n_a + n_b)`` for the scatters ``S`` and the means' difference
        ``δ`` (Chan, Golub & LeVeque 1979). For features that were made by several processes.

        Raises:
            DataError: a count is not known, or the dimensions differ.
            ProtocolError: the features were made by different detectors or resizes.

        """
        if self.count is None or other.count is None:
            raise DataError("Statistics of an unknown number of images cannot be merged")
        require_same_dimensions(self.dimensions, other.dimensions)
        if self.protocol != other.protocol:
            self.protocol.require_same_features(other.protocol)
        total = self.count + other.count
        difference = other.mean - self.mean
        scatter = (
            self.covariance * (self.count - 1)
            + other.covariance * (other.count - 1)
            + torch.outer(difference, difference) * (self.count * other.count / total)
        )
        mean = self.mean + difference * (other.count / total)
        return FeatureStatistics(mean, scatter / (total - 1), total, self.protocol)

    def save(self, path: Path) -> None:
        """Write ``.npz`` with pytorch-fid's ``mu`` and ``sigma``, and ``count`` and ``protocol``.

        Atomic: the file is complete or absent.

        Raises:
            StorageError: no space, or no permission.

        """
        arrays: dict[str, Any] = {
            "mu": self.mean.numpy(),
            "sigma": self.covariance.numpy(),
            "protocol": np.array(json.dumps(self.protocol.to_dict(), ensure_ascii=False)),
        }
        if self.count is not None:
            arrays["count"] = np.array(self.count)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` or pytorch-fid wrote; the latter's protocol is unknown.

        Raises:
            StorageError: the file is missing, truncated, or has no ``mu`` and ``sigma``.
            ProtocolError: its protocol was written by another version.

        """
        try:
            # Every array is read here: a truncated file fails now and not at first use.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return cls._from_arrays(arrays)
        except FileNotFoundError as error:
            raise StorageError(
                f"There are no statistics at {path}", fix="check the path"
            ) from error
        except KeyError as error:
            raise StorageError(
                f"{path} has no array {error}: it is not in pytorch-fid's layout (mu, sigma)"
            ) from error
        except (OSError, EOFError, *NOT_STATISTICS) as error:
            raise StorageError(
                f"{path} is truncated or does not hold feature statistics ({error})",
                fix="remove it and repeat the command that made it",
            ) from error

    @classmethod
    def _from_arrays(cls, arrays: dict[str, Any]) -> Self:
        mean = torch.from_numpy(arrays["mu"].astype(np.float64))
        covariance = torch.from_numpy(arrays["sigma"].astype(np.float64))
        count = int(arrays["count"]) if "count" in arrays else None
        if "protocol" not in arrays:
            return cls(mean, covariance, count)
        protocol = Protocol.from_dict(json.loads(str(arrays["protocol"])))
        return cls(mean, covariance, count, protocol)


def require_features(features: Tensor, *, at_least: int = 1) -> None:
    """Refuses what is not a table of finite features ``(N, D)`` with enough rows.

    Raises:
        DataError: naming the shape, the count or the number of values that are not finite.

    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise DataError(f"Features have the shape (N, D), not {tuple(features.shape)}")
    if len(features) < at_least:
        raise DataError(
            f"There are features of {len(features)} images and at least {at_least} are needed",
            fix="use more images",
        )
    if not features.isfinite().all():
        bad = int((~features.isfinite()).any(dim=1).sum())
        raise DataError(
            f"The features of {bad} of {len(features)} images are not finite",
            fix="look at these images: the model that made them may have diverged",
        )


def require_same_dimensions(first: int, second: int) -> None:
    """Refuses features of different detectors, told by their number.

    Raises:
        ProtocolError: the numbers of dimensions differ.

    """
    if first != second:
        raise ProtocolError(
            f"Features of {first} and of {second} dimensions cannot be compared",
            fix="use one detector for both",
        )
