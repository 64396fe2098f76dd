"""From sets of images to numbers: each metric on each detector, for every seed."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics import measure
from ..runs.measured_tables import metrics_of, tables_of
from .comparison import Comparison
from .drawing import ImageSet

ArmValues = dict[str, dict[str, list[list[float]]]]
"""detector → metric → one list per training seed → one value per noise seed."""


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


def _known(
    comparison: Comparison, images: ImageSet, notes: dict[str, None]
) -> dict[str, dict[str, float]]:
    """The metrics of one set of images, measured once: the table is made again as arms come."""
    if images not in comparison.measurements:
        said: dict[str, None] = {}
        comparison.measurements[images] = (measured(comparison, images, said), tuple(said))
    found, remarks = comparison.measurements[images]
    notes.update(dict.fromkeys(remarks))
    return found


def measured(
    comparison: Comparison, images: ImageSet, notes: dict[str, None]
) -> dict[str, dict[str, float]]:
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
