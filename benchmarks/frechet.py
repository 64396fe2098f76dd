"""Fréchet distance at 2048 dimensions: ours against the matrix root that others take."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from timing import against, interleaved, show

from deme.metrics import FeatureStatistics, FrechetReference

DIMENSIONS = 2048


def statistics_of(seed: int) -> FeatureStatistics:
    """Statistics of correlated features, as many images as FID-10K has."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(DIMENSIONS, DIMENSIONS, generator=generator) / DIMENSIONS**0.5
    features = torch.randn(10_000, DIMENSIONS, generator=generator) @ mixing
    return FeatureStatistics.from_features(features)


def with_matrix_root(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """The distance by ``scipy.linalg.sqrtm`` of the product, as pytorch-fid and clean-fid do."""
    a, b = first.covariance.numpy(), second.covariance.numpy()
    root = np.real(scipy.linalg.sqrtm(a @ b))
    shift = float((first.mean - second.mean).square().sum())
    return shift + float(np.trace(a) + np.trace(b) - 2 * np.trace(root))


def main() -> None:
    real, generated = statistics_of(0), statistics_of(1)
    kept = FrechetReference(real)
    medians = interleaved(
        {
            "scipy sqrtm": lambda: with_matrix_root(real, generated),
            "deme, root made": lambda: FrechetReference(real).distance(
                generated, allow_unknown=True
            ),
            "deme, root kept": lambda: kept.distance(generated, allow_unknown=True),
        },
        repeats=3,
    )
    rows = against("scipy sqrtm", medians)
    ours, theirs = kept.distance(generated, allow_unknown=True), with_matrix_root(real, generated)
    rows["agreement"] = {"relative difference": abs(ours - theirs) / theirs}
    show(f"Fréchet distance, {DIMENSIONS} dimensions, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
