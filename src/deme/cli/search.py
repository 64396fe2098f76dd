"""``deme search``: merging weights for the experts of a run."""

from __future__ import annotations

from .app import app
from .options import RUNS, DryRun, Output, Quiet, Set, Spec, open_run, print_plan


@app.command()
def search(
    spec: Spec,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Find merging weights and write the merged pipeline, without baselines or evaluation.

    Experts that are not there yet are trained first; experts from elsewhere are named in the spec:
    `experts: [{path: …, min_timestep: 0, max_timestep: 250}, …]`.
    """
    from ..files import read_json
    from ..runs import run_job

    context = open_run(spec, overrides, output, quiet)
    if dry_run:
        print_plan(context, output)
        return
    run_job(context, ["experts", "search", "merge"])
    result = read_json(context.store.path / "search" / "result.json")
    for name, weight in zip(result["experts"], result["weights"], strict=True):
        print(f"{name}  {weight:+.4f}")
    print(f"{result['objective']} {result['value']:.4f} after {len(result['evaluations'])} sets")
    print(context.store.path / "merged")
