"""Folders as diffusers saves them: a pipeline, or one component."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...denoisers.contract import PROJECTIONS, PROJECTIONS_FILE
from ...errors import ModelError
from ...files import read_json
from .component_files import FORMATS, STEMS, choose_weight_files, list_weight_files
from .contract import ModelSource, Source, TensorInfo
from .families import component_of_class, component_of_names
from .tensor_files import is_plain_name, open_tensor_file

INDEX = "model_index.json"
COMPONENT_CONFIG = "config.json"


def open_pipeline(folder: Path, origin: str, variant: str | None = None) -> ModelSource:
    """All the components of a pipeline folder that have weights.

    Channel-wise projections of ours that lie beside them are a component too.

    Args:
        folder: with ``model_index.json``.
        origin: how the user named it.
        variant: weight file variant; components that lack it are read without one, as diffusers
            does. None takes the weights without a variant, or the only variant that there is.

    Raises:
        ModelError: the index is none, a component has a configuration but no weights, or no
            component has the variant.
        StorageError: a file is missing, truncated or cannot be read.

    """
    classes = _component_classes(folder / INDEX)
    _require_variant(folder, classes, variant)
    components: dict[str, Source] = {}
    for name, kind in classes.items():
        files = choose_weight_files(folder / name, variant, or_default=True)
        if files is not None:
            components[name] = files.open(f"{origin}/{name}")
        elif component_of_class(kind) and (folder / name / COMPONENT_CONFIG).is_file():
            raise ModelError(
                f"{origin} has no weights of its {name}: {folder / name} holds a configuration "
                "alone",
                fix="copy or download the whole pipeline",
            )
    components |= _projections(folder, origin)
    if not components:
        raise ModelError(
            f"{origin} has no component with weights",
            fix="give the folder that save_pretrained of a whole pipeline wrote",
        )
    return ModelSource(origin, components, folder, "pipeline")


def open_component(folder: Path, origin: str, variant: str | None = None) -> ModelSource:
    """One component's folder: weights, and a ``config.json`` that says what they are.

    Raises:
        ModelError: no weights there, or not in this variant.
        StorageError: a file is missing, truncated or cannot be read.

    """
    files = choose_weight_files(folder, variant)
    if files is None:
        raise ModelError(
            f"No weights found at {origin}",
            choices=[f"<folder>/unet/{STEMS[0]}.{FORMATS[0]}"],
            fix="give a diffusers pipeline folder, a component's folder, or a weights file",
        )
    source = files.open(origin)
    name = _component_name(folder, source.layout)
    beside = _projections(folder, origin) or _projections(folder.parent, origin)
    components: dict[str, Source] = {name: source, **beside}
    return ModelSource(origin, components, folder, "component")


def open_loose_components(
    folder: Path, origin: str, known: Iterable[str], variant: str | None = None
) -> ModelSource | None:
    """A folder without an index whose subfolders are components, as training scripts leave it.

    Args:
        folder: such as ``checkpoint-500``, with ``unet/`` in it.
        origin: how the user named it.
        known: the names of components to look for; other folders are left alone.
        variant: weight file variant.

    Returns:
        None where there is no such subfolder.

    """
    components: dict[str, Source] = {}
    for name in known:
        files = choose_weight_files(folder / name, variant, or_default=True)
        if files is not None:
            components[name] = files.open(f"{origin}/{name}")
    if not components:
        return None
    return ModelSource(origin, components | _projections(folder, origin), folder, "pipeline")


def _component_classes(index: Path) -> dict[str, str]:
    content = read_json(index)
    if not isinstance(content, dict):
        raise ModelError(f"{index} is not a pipeline's index: it holds no JSON object")
    classes = {
        name: str(value[-1])
        for name, value in content.items()
        if isinstance(value, list) and any(value)
    }
    for name in content:
        if not is_plain_name(name):
            raise ModelError(
                f"{index} names the component {name!r}, which is not in its own folder",
                fix="give a model from a source that you trust",
            )
    return classes


def _require_variant(folder: Path, names: Iterable[str], variant: str | None) -> None:
    if variant is None:
        return
    found = {files.variant for name in names for files in list_weight_files(folder / name)}
    if variant not in found:
        choices = sorted(one for one in found if one is not None)
        raise ModelError(
            f"{folder} holds no {variant} weights",
            choices=choices or ["no variant"],
            given=variant,
            fix="name one of these as variant" if choices else "leave variant out",
        )


def _component_name(folder: Path, layout: Mapping[str, TensorInfo]) -> str:
    """By its folder where that has a component's name (``text_encoder_2``), or by what it is."""
    try:
        config = json.loads((folder / COMPONENT_CONFIG).read_text("utf-8"))
    except (OSError, ValueError):  # without it the tensors' names tell
        config = None
    classes: list[Any] = []
    if isinstance(config, dict):
        named = config.get("architectures")
        classes = [config.get("_class_name"), *(named if isinstance(named, list) else ())]
    kinds = [component_of_class(kind) for kind in classes if isinstance(kind, str)]
    kind = next(filter(None, kinds), None) or component_of_names(layout)
    name = folder.absolute().name
    return name if kind is None or re.fullmatch(rf"{kind}(_\d+)?", name) else kind


def _projections(folder: Path, origin: str) -> dict[str, Source]:
    file = folder / PROJECTIONS_FILE
    if not file.is_file():
        return {}
    return {PROJECTIONS: open_tensor_file(file, f"{origin}/{PROJECTIONS_FILE}")}
