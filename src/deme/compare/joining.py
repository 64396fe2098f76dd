"""Several comparisons as one: arms that were run apart, where their protocols are the same."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ProtocolError, StorageError
from ..files import atomic_path, hash_value, read_json, write_json
from .intervals import paired_difference
from .record import RECORD

SHARED = ("protocols", "metrics", "detectors", "seeds", "images", "budget", "trials", "floor")
"""What must be the same before two arms may stand in one table."""
TOLERANCE = 1e-4
"""Numbers of the same models that differ by no more, relatively, are the same."""


def read_records(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The records of comparisons, from their folders.

    Raises:
        StorageError: a folder holds no comparison.

    """
    found = []
    for folder in folders:
        path = folder / RECORD
        if not path.is_file():
            raise StorageError(
                f"{folder} is no comparison: it has no {RECORD}",
                fix="give folders that `deme compare` made",
            )
        found.append(read_json(path))
    return found


def join_records(
    records: Sequence[Mapping[str, Any]], reference: str | None = None
) -> dict[str, Any]:
    """One record of the arms of several; an arm that two have in common is taken from the first.

    Args:
        records: of comparisons under one protocol.
        reference: the arm that all others are compared with; None: the first record's.

    Raises:
        ProtocolError: something that moves the numbers differs; the message lists what. Or two
            different arms have one name.
        ConfigError: the reference is no arm of them.

    """
    first = records[0]
    for other in records[1:]:
        _require_same(first, other)
    arms: dict[str, Any] = {}
    for record in records:
        for name, arm in record["arms"].items():
            if name not in arms:
                arms[name] = {k: v for k, v in arm.items() if k != "against"}
            elif not _alike(arms[name]["values"], arm["values"]):
                raise ProtocolError(
                    f"Two different arms are called {name}: their numbers differ",
                    fix="rename one in its comparison and repeat it: nothing is trained again",
                )
    against = first["reference"] if reference is None else reference
    if against not in arms:
        raise ConfigError(f"There is no arm {against!r}", choices=arms, given=against)
    for name, arm in arms.items():
        if name != against:
            arm["against"] = {
                detector: {
                    metric: paired_difference(
                        arms[against]["values"][detector][metric], values, first["confidence"]
                    ).to_dict()
                    for metric, values in metrics.items()
                }
                for detector, metrics in arm["values"].items()
            }
    curve: dict[tuple[str, int], Any] = {}
    for point in (point for record in records for point in record["curve"]):
        curve.setdefault((point["arm"], point["sampler_steps"]), point)
    titles = {n: t for record in reversed(records) for n, t in record.get("titles", {}).items()}
    notes = list(dict.fromkeys(note for record in records for note in record["notes"]))
    missing = {name: None for record in records for name in record["missing"] if name not in arms}
    return {
        **first,
        "reference": against,
        "arms": arms,
        "curve": list(curve.values()),
        "notes": notes,
        "missing": list(missing),
        "titles": titles,
    }


def join_folders(folders: Sequence[Path], output: Path, reference: str | None = None) -> Path:
    """Writes the comparison that several make together, with their samples.

    Args:
        folders: of comparisons.
        output: the folder that holds runs.
        reference: see :func:`join_records`.

    Returns:
        The new folder, named by what was joined.

    Raises:
        DemeError: see :func:`read_records` and :func:`join_records`.

    """
    record = join_records(read_records(folders), reference)
    target = output / f"joined-{hash_value(record)[:8]}"
    write_json(target / RECORD, record)
    for name in ("real", *record["arms"]):
        found = [folder / "samples" / f"{name}.npy" for folder in folders]
        for path in [path for path in found if path.is_file()][:1]:
            with atomic_path(target / "samples" / path.name) as partial:
                shutil.copyfile(path, partial)
    return target


def _require_same(first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    differing = [
        f"{name}: {_short(a)} ≠ {_short(b)}"
        for key in SHARED
        for name, a, b in _leaves(key, first.get(key), other.get(key))
        if not _alike(a, b)
    ]
    if differing:
        raise ProtocolError(
            f"{first['name']} and {other['name']} were made under different protocols "
            f"({'; '.join(differing[:8])})",
            fix="run their arms in one comparison, or change one to the other's protocol",
        )


def _alike(a: Any, b: Any) -> bool:
    """Whether two values are the same, numbers but for what another machine's sums change."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (
            math.isnan(a) and math.isnan(b)
        )
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    return a == b


def _leaves(path: str, a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """Values at the same place in both, down to what is no mapping."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [
            leaf for key in {**a, **b} for leaf in _leaves(f"{path}.{key}", a.get(key), b.get(key))
        ]
    return [(path, a, b)]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}…"
