"""Sets of features that share their noise, as candidates of a search do."""

from __future__ import annotations

import torch
from torch import Tensor

TABLE = "detector"


def real_features(rows: int, features: int, seed: int = 0) -> Tensor:
    """Correlated features ``(rows, features)`` with falling variances and a mean far from zero."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, features, generator=draws, dtype=torch.float64)
    return noise * _scales(features) @ _rotation(features) + 3


def feature_sets(sets: int, rows: int, features: int, seed: int = 1) -> list[dict[str, Tensor]]:
    """Sets ``(rows, features)`` made of one noise, each moved and stretched in its own way."""
    draws = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64)

    common = normal(rows, features)
    scales, rotation = _scales(features), _rotation(features)
    made = []
    for _ in range(sets):
        mixing = torch.eye(features, dtype=torch.float64) + 0.2 * normal(features, features)
        rows_now = (common @ mixing + 0.2 * normal(features)) * scales
        made.append({TABLE: rows_now @ rotation + 3})
    return made


def _scales(features: int) -> Tensor:
    return torch.arange(1, features + 1, dtype=torch.float64) ** -0.5


def _rotation(features: int) -> Tensor:
    draws = torch.Generator().manual_seed(99)
    square = torch.randn(features, features, generator=draws, dtype=torch.float64)
    return torch.linalg.qr(square).Q
