"""From a proposal to its values, in whichever process draws the images."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .evaluation import Proposal, Tables
from .objectives.contract import Objective
from .set_store import Draw, SetStore


@dataclass(frozen=True)
class Measurement:
    """What comes back from where a candidate was measured: its features stay on disk.

    Attributes:
        values: each objective's value; not finite where the features are not.
        seconds: how long it took, less where features were kept.

    """

    values: tuple[float, ...]
    seconds: float


def measure(
    proposal: Proposal, sets: SetStore, draw: Draw, objectives: Sequence[Objective]
) -> Measurement:
    """Completes the candidate's set and computes the values from it.

    Features that a killed search left are not drawn again.

    Args:
        proposal: the candidate, and of how many images.
        sets: where features are kept.
        draw: draws and measures a range of the candidate's images.
        objectives: what is computed, in order.

    Raises:
        ValueError: the proposal does not say how many images.
        StorageError: the features cannot be kept.

    """
    if proposal.images is None:
        raise ValueError("the proposal's images are filled in before it is measured")
    started = time.monotonic()
    tables = sets.complete(proposal.candidate, proposal.images, draw)
    needed = {name for objective in objectives for name in objective.reads}
    loaded = {name: tables[name] for name in needed}
    values = tuple(_value(objective, loaded) for objective in objectives)
    return Measurement(values, time.monotonic() - started)


def _value(objective: Objective, tables: Tables) -> float:
    # an eigendecomposition of numbers that are not finite raises or never ends
    if not all(bool(tables[name].isfinite().all()) for name in objective.reads):
        return math.inf
    return float(objective.value(tables))
