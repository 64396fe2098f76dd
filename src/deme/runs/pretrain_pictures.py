"""The pictures of a pretraining: samples of the result, and the losses of its rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..analysis import draw_loss_curves, image_grid, loss_curves
from ..files import atomic_path, read_json
from ..generate import generate_images
from .context import RunContext
from .pretrain_spec import PretrainSpec
from .stages.sampling import make_request

SIZE_INCHES = (6.4, 3.6)


def write_pictures(context: RunContext, spec: PretrainSpec, result: Path) -> None:
    """Writes ``samples.png`` and ``loss.png`` unless they are there for this very result."""
    store = context.store
    digest = store.digest_of(result.name)
    samples = {"model": digest, "samples": spec.samples.model_dump(mode="json")}
    if spec.samples.images and not store.is_complete("samples.png", samples):
        request = make_request(context, spec.samples, spec.samples.seed, spec.samples.images)
        with context.reporter.bar("samples", request.count) as bar:
            images = generate_images(
                context.load_pipeline(result), request, on_progress=bar.advance
            )
        _save_grid(image_grid(images.numpy()), store.path / "samples.png")
        store.complete("samples.png", samples)
    if not store.is_complete("loss.png", {"model": digest}):
        _draw_losses(_trainings(store.path, result), store.path / "loss.png")
        store.complete("loss.png", {"model": digest})


def _save_grid(grid: Any, path: Path) -> None:
    from PIL import Image

    with atomic_path(path) as partial:
        Image.fromarray(grid).save(partial, format="png")


def _trainings(folder: Path, result: Path) -> list[dict[str, Any]]:
    """The records of all rounds, or of the one training, their steps counted on."""
    rounds = sorted((folder / "rounds").glob("*/training.json"))
    before, records = 0, []
    for path in rounds or [result / "training.json"]:
        record = read_json(path)
        losses = [{**point, "step": point["step"] + before} for point in record["losses"]]
        before += record["config"]["steps"]
        records.append({**record, "losses": losses})
    return records


def _draw_losses(trainings: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = loss_curves(trainings)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw_loss_curves(figure.add_subplot(), curves)
    with atomic_path(path) as partial:
        canvas.print_png(str(partial))
