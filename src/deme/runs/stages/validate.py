"""Every model's denoising loss on every range, with the same images and noise."""

from __future__ import annotations

from collections.abc import Callable

from ...decouple import validation_losses
from ...denoisers import Denoiser
from ...files import write_json
from ..context import RunContext


def validate(context: RunContext) -> bool:
    """Writes ``validation.json``: ranges × models."""
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
    with context.reporter.bar("validation losses", len(models)) as bar:
        for name, (_, load) in models.items():
            losses[name] = validation_losses(
                load(),
                context.source,
                context.partition,
                images=context.spec.evaluate.validation_images,
            )
            bar.at(len(losses), name)
    ranges = [[item.low, item.high] for item in context.partition]
    write_json(context.store.path / "validation.json", {"ranges": ranges, "models": losses})
    context.store.complete("validation.json", made_from)
    return True


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
