"""Training checkpoints: a folder that is complete or absent, checked by hash when read.

``checkpoints/step-000500/`` holds ``network.safetensors`` (as trained, projections included),
``ema.safetensors``, ``optimizer.safetensors`` and, where snapshots are kept,
``power_averages.safetensors`` and, where weights over t are learned, ``balancing.safetensors`` (all
three in the last checkpoint only), and ``state.json`` with the step, the losses so far and a hash
of each file. No generator state is needed: draws derive from the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import StorageError
from ..files import atomic_path, hash_file, read_json, remove, write_json

NETWORK_FILE, EMA_FILE = "network.safetensors", "ema.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
FILES = (NETWORK_FILE, EMA_FILE, OPTIMIZER_FILE)
POWER_AVERAGES_FILE = "power_averages.safetensors"
BALANCING_FILE = "balancing.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on as if never stopped."""

    step: int
    network: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    power_averages: Mapping[str, Tensor] = field(default_factory=dict)
    balancing: Mapping[str, Tensor] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, total_limit: int | None) -> Path:
    """Writes a checkpoint, strips older ones of what only resuming needs, drops the oldest.

    Args:
        folder: the training's ``checkpoints`` folder.
        checkpoint: what to keep.
        total_limit: how many checkpoints stay, this one at least; None keeps all.

    Raises:
        StorageError: no space left, or no permission; no part of the checkpoint stays then.

    """
    target = folder / f"step-{checkpoint.step:06d}"
    parts = {
        NETWORK_FILE: checkpoint.network,
        EMA_FILE: checkpoint.ema,
        OPTIMIZER_FILE: checkpoint.optimizer,
    }
    if checkpoint.power_averages:
        parts[POWER_AVERAGES_FILE] = checkpoint.power_averages
    if checkpoint.balancing:
        parts[BALANCING_FILE] = checkpoint.balancing
    with atomic_path(target) as partial:
        partial.mkdir()
        hashes = {}
        for name, tensors in parts.items():
            save_file({key: value.contiguous() for key, value in tensors.items()}, partial / name)
            hashes[name] = hash_file(partial / name)
        state = {"step": checkpoint.step, "files": hashes, **checkpoint.state}
        write_json(partial / "state.json", state)
    older = [path for path in list_checkpoints(folder) if path != target]
    for path in older:
        strip_checkpoint(path)
    if total_limit is not None:
        for path in older[: max(0, len(older) - (total_limit - 1))]:
            remove(path)
    return target


def strip_checkpoint(path: Path) -> None:
    """Removes what only resuming needs; the weights and their average stay."""
    remove(path / OPTIMIZER_FILE)
    remove(path / POWER_AVERAGES_FILE)
    remove(path / BALANCING_FILE)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders in order of their step."""
    found = [path for path in folder.glob("step-*") if path.name[len("step-") :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len("step-") :]))


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint, or None where there is none.

    Raises:
        StorageError: a file of it is missing, truncated or altered.

    """
    found = list_checkpoints(folder)
    if not found:
        return None
    path = found[-1]
    fix = f"delete {folder} and repeat the command: this training starts anew, all else is kept"
    try:
        state = read_json(path / "state.json")
        files = dict(state["files"])
    except (StorageError, KeyError, TypeError) as error:
        raise StorageError(
            f"The checkpoint {path} is damaged: state.json cannot be read", fix=fix
        ) from error
    if missing := sorted({*FILES} - files.keys()):
        raise StorageError(f"The checkpoint {path} is incomplete: {missing[0]} is missing", fix=fix)
    for name, digest in files.items():
        file = path / name
        if not file.is_file():
            raise StorageError(f"The checkpoint {path} is incomplete: {name} is missing", fix=fix)
        if hash_file(file) != digest:
            raise StorageError(
                f"The checkpoint {path} is damaged: {name} is truncated or altered", fix=fix
            )
    return Checkpoint(
        step=state["step"],
        network=load_file(path / NETWORK_FILE),
        ema=load_file(path / EMA_FILE),
        optimizer=load_file(path / OPTIMIZER_FILE),
        state={key: value for key, value in state.items() if key not in ("step", "files")},
        power_averages=_load_where_kept(path / POWER_AVERAGES_FILE, files),
        balancing=_load_where_kept(path / BALANCING_FILE, files),
    )


def _load_where_kept(file: Path, files: Mapping[str, str]) -> dict[str, Tensor]:
    return load_file(file) if file.name in files else {}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's per-parameter state as named tensors."""
    return {
        f"{index}.{name}": value.detach().cpu()
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what :func:`optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    full = optimizer.state_dict()
    full["state"] = state
    optimizer.load_state_dict(full)
