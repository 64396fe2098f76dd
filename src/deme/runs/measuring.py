"""Any pipeline under a run's protocol."""

from __future__ import annotations

import statistics

from rich.table import Table

from ..decouple import open_pipeline
from ..metrics import measure
from .context import RunContext
from .stages.sampling import draw_features, make_request


def measure_pipeline(context: RunContext, model: str) -> Table:
    """Mean ± deviation over the evaluation's seeds, beside the floor."""
    config = context.spec.evaluate
    denoiser = open_pipeline(model).to(context.accelerator.device)
    context.store.prepare()
    reference = context.references[context.detectors[0].name]
    count = reference.generated_count(config.images)
    values: dict[tuple[str, str], list[float]] = {}
    with context.reporter.bar("evaluate", count * len(config.seeds)) as bar:
        for seed in config.seeds:
            request = make_request(context, config, seed, count)
            features = draw_features(denoiser, request, context.detectors, on_progress=bar.advance)
            for detector in context.detectors:
                known = context.references[detector.name]
                real = known.features[known.split[0]]
                protocol = known.protocol(known.split[0])
                found = measure(config.metrics, real, features[detector.name], protocol=protocol)
                for name in config.metrics:
                    values.setdefault((detector.name, name), []).append(found[name].value)
    table = Table(title=model, caption=f"{count} images, {config.describe()}")
    for heading in ("detector", "metric", "mean ± deviation", "floor"):
        table.add_column(heading)
    for (detector, name), series in values.items():
        floor = context.references[detector].floor(name)
        deviation = statistics.stdev(series) if len(series) > 1 else 0.0
        table.add_row(
            detector, name, f"{statistics.fmean(series):.4g} ± {deviation:.2g}", f"{floor.mean:.4g}"
        )
    return table
