"""From sets of images to numbers: each metric on each detector, for every seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..files import hash_value, read_json, write_json
from ..metrics import measure
from ..runs.context import RunContext
from ..runs.measured_tables import metrics_of, tables_of
from .comparison import Comparison
from .drawing import ImageSet

ArmValues = dict[str, dict[str, list[list[float]]]]
"""detector → metric → one list per training seed → one value per noise seed."""
Measured = dict[str, dict[str, float]]
"""detector → metric → value."""


def values_of(
    comparison: Comparison, sets: Sequence[ImageSet], notes: dict[str, None]
) -> ArmValues:
    """Each metric on each detector, for every training and noise seed, in the sets' order."""
    noises = len(comparison.spec.run.evaluate.seeds)
    found: ArmValues = {}
    for number, images in enumerate(sets):
        for detector, metrics in _known(comparison, images, notes).items():
            for metric, value in metrics.items():
                rows = found.setdefault(detector, {}).setdefault(metric, [])
                if number % noises == 0:
                    rows.append([])
                rows[-1].append(value)
    return found


def _known(comparison: Comparison, images: ImageSet, notes: dict[str, None]) -> Measured:
    """The metrics of one set of images, measured once, and its notes added to others."""
    context = comparison.context
    references = {
        detector.name: context.references[detector.name] for detector in context.detectors
    }
    made_from = {
        "images": [task.artifact(context) for task in images.tasks()],
        "metrics": list(comparison.spec.run.evaluate.metrics),
        "references": {
            name: reference.protocol(reference.split[0]).reference_digest
            for name, reference in references.items()
        },
    }

    def measure_now() -> dict[str, Any]:
        said: dict[str, None] = {}
        return {"values": measured(comparison, images, said), "notes": list(said)}

    found = kept(context, made_from, measure_now)
    notes.update(dict.fromkeys(found["notes"]))
    return found["values"]


def kept(context: RunContext, made_from: Mapping[str, Any], measure_now: Callable[[], Any]) -> Any:
    """Plain values that take long to measure: kept in the comparison's folder by what decides them.

    Args:
        context: of the comparison.
        made_from: all that decides the values.
        measure_now: makes them, where they are not there.

    Raises:
        StorageError: they are there, and damaged.

    """
    path = context.store.path / "measured" / f"{hash_value(made_from)[:20]}.json"
    if not path.is_file():
        write_json(path, measure_now())
    return read_json(path)


def measured(comparison: Comparison, images: ImageSet, notes: dict[str, None]) -> Measured:
    """The metrics of one set of images on each detector.

    Raises:
        StorageError: images that were drawn cannot be read.

    """
    context = comparison.context
    kept = images.tables(context)
    found = {}
    for detector in context.detectors:
        reference = context.references[detector.name]
        indices = reference.split[0]
        names = metrics_of(detector, comparison.spec.run.evaluate.metrics)
        measurement = measure(
            names,
            reference.evaluation_tables(names),
            tables_of(kept, detector.name),
            protocol=reference.protocol(indices),
            reference=reference.evaluation,
        )
        found[detector.name] = {name: measurement[name].value for name in names}
        notes.update(dict.fromkeys(f"{detector.name}: {note}" for note in measurement.notes))
    return found
