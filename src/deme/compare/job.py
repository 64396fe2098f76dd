"""A comparison from beginning to end: arms made, judged, and written down as they come."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ConfigError
from ..files import write_json
from ..runs.context import RunContext
from ..runs.environment import describe_environment
from ..runs.measured_tables import require_measurable
from ..runs.progress import Reporter
from ..runs.store import RunStore
from .comparison import Comparison, levels
from .record import RECORD, comparison_record, write_samples
from .spec import CompareSpec


def open_comparison(spec: CompareSpec, store: RunStore, reporter: Reporter) -> Comparison:
    """A comparison in its folder; nothing is computed yet."""
    return Comparison(RunContext(spec.run, store, reporter), spec)


def run_comparison(
    comparison: Comparison, on_table: Callable[[Comparison], None] | None = None
) -> None:
    """Makes every arm and judges it; what was done before is found done.

    Args:
        comparison: what to compare.
        on_table: called each time more arms stand in ``compare.json``.

    Raises:
        RunLockedError: another process works on this comparison.
        ConfigError: several processes were launched, or an arm is not possible.

    """
    context = comparison.context
    if context.accelerator.num_processes > 1:
        raise ConfigError(
            f"{context.accelerator.num_processes} processes were launched for the comparison",
            fix="run it in one process; runtime.workers trains arms side by side",
        )
    require_measurable(context.detectors, context.spec.evaluate.metrics)
    comparison.check()
    store = context.store
    store.prepare()
    with store.lock():
        store.sweep()
        write_json(store.path / "environment.json", describe_environment(context))
        for reference in context.references.values():
            reference.prepare()
        judged: list[str] = []
        try:
            for names in levels(comparison.spec.arms):
                comparison.make(names)
                judged += names
                write_json(store.path / RECORD, comparison_record(comparison, judged))
                if on_table is not None:
                    on_table(comparison)
        finally:
            context.workers.close()
        write_samples(comparison)
