"""Every model's denoising loss and likelihood bound on every range, on the same draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...decouple import LikelihoodBound, likelihood_bound, validation_losses, why_no_bound
from ...denoisers import Denoiser
from ...files import write_json
from ..context import RunContext


def validate(context: RunContext) -> bool:
    """Writes ``validation.json``: ranges × models.

    ``nll_bound`` is in it where the model has one; see :func:`~deme.decouple.likelihood_bound`.
    """
    models = _models(context)
    made_from = {
        "base": context.base_digest,
        "data": context.source.digest,
        "models": {name: digest for name, (digest, _) in models.items()},
        "images": context.spec.evaluate.validation_images,
        "ranges": list(context.partition.boundaries),
    }
    if context.store.is_complete("validation.json", made_from):
        return False
    losses: dict[str, list[float]] = {}
    bounds: dict[str, LikelihoodBound] = {}
    with context.reporter.bar("validation losses", len(models)) as bar:
        for name, (_, load) in models.items():
            denoiser, images = load(), context.spec.evaluate.validation_images
            losses[name] = validation_losses(
                denoiser, context.source, context.partition, images=images
            )
            if why_no_bound(denoiser) is None:
                bounds[name] = likelihood_bound(
                    denoiser, context.source, context.partition, images=images
                )
            bar.at(len(losses), name)
    ranges = [[item.low, item.high] for item in context.partition]
    record: dict[str, Any] = {"ranges": ranges, "models": losses}
    if bounds:
        record["nll_bound"] = _bounds_record(bounds)
    write_json(context.store.path / "validation.json", record)
    context.store.complete("validation.json", made_from)
    return True


def _bounds_record(bounds: Mapping[str, LikelihoodBound]) -> dict[str, Any]:
    """In bits per dimension: of each model on each range, and in all; the prior is all models'."""
    return {
        "prior": next(iter(bounds.values())).prior,
        "models": {name: list(bound.ranges) for name, bound in bounds.items()},
        "totals": {name: bound.total for name, bound in bounds.items()},
    }


def _models(context: RunContext) -> dict[str, tuple[str, Callable[[], Denoiser]]]:
    """Each model's name, hash and how to load it."""
    store = context.store
    models: dict[str, tuple[str, Callable[[], Denoiser]]] = {
        "pretrained": (context.base_digest, lambda: context.denoiser)
    }
    for index, expert in enumerate(context.experts):
        models[expert.name] = (
            store.digest_of(f"experts/{expert.name}"),
            lambda index=index: context.expert_denoisers[index],
        )
    for name in ("joint", "merged"):
        if (store.path / name).is_dir():
            folder = store.path / name
            models[name] = (
                store.digest_of(name),
                lambda folder=folder: context.load_pipeline(folder),
            )
    return models
