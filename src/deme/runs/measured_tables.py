"""Which of a detector's tables the asked-for metrics read, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import ConfigError
from ..metrics import Detector, metric_named
from ..metrics.detector import FEATURES, WHO_HAS


def metrics_of(detector: Detector, metrics: Sequence[str]) -> list[str]:
    """Those of the metrics whose table this detector makes, in their order."""
    return [name for name in metrics if metric_named(name).reads in detector.widths]


def tables_read(detector: Detector, metrics: Sequence[str]) -> tuple[str, ...]:
    """The tables of this detector that the metrics read beside its features."""
    names = dict.fromkeys(metric_named(name).reads for name in metrics_of(detector, metrics))
    return tuple(name for name in names if name != FEATURES)


def table_key(detector: str, table: str) -> str:
    """What a table is kept under in a file of several detectors'; features under the detector."""
    return detector if table == FEATURES else f"{detector}/{table}"


def tables_of(kept: Mapping[str, Tensor], detector: str) -> dict[str, Tensor]:
    """One detector's tables by name, of those that :func:`table_key` names."""
    keys = {table: table_key(detector, table) for table in WHO_HAS}
    return {table: kept[key] for table, key in keys.items() if key in kept}


def require_measurable(detectors: Sequence[Detector], metrics: Sequence[str]) -> None:
    """Checks that each metric is of a table that a detector makes.

    Raises:
        ConfigError: one is of none; names the detectors that would do.

    """
    for name in metrics:
        table = metric_named(name).reads
        if not any(table in detector.widths for detector in detectors):
            given = ", ".join(detector.name for detector in detectors)
            raise ConfigError(
                f"The metric {name} reads {table}, which {given} does not make",
                fix=f"add one of these to evaluate.detectors: {', '.join(WHO_HAS[table])}",
            )
