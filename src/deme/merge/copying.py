"""What a merge leaves as it is: configurations, tokenizers, components that no expert changed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from ..denoisers.contract import PROJECTIONS
from .sources.contract import ModelSource, Source
from .sources.tensor_files import is_plain_name

WEIGHT_SUFFIXES = {
    *(".safetensors", ".bin", ".ckpt", ".pt", ".pth"),
    *(".msgpack", ".h5", ".onnx", ".onnx_data", ".pb", ".xml"),
}
PLAIN_NAME = re.compile(r"\w+(-\d+-of-\d+)?\.\w+")
INDEX_MARK = ".index."
"""Part of the name of the file that says which tensor is in which shard."""


def copy_other_files(base: ModelSource, output: Path) -> None:
    """Copies all of the base's model that is not weights.

    Of a pipeline that is its index and its components' folders, and nothing else that lies beside
    them: a README or a sample image speaks of the original model, training leaves checkpoints.
    """
    if base.folder is None:
        return
    if base.form == "pipeline":
        index = base.folder / "model_index.json"
        shutil.copyfile(index, output / index.name)
        parts = [name for name in json.loads(index.read_text("utf-8")) if is_plain_name(name)]
        folders = [base.folder / name for name in parts if (base.folder / name).is_dir()]
        files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    else:
        files = [path for path in sorted(base.folder.iterdir()) if path.suffix == ".json"]
    for path in files:
        if path.is_file() and not _is_weights(path):
            target = output / path.relative_to(base.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def copy_component(base: ModelSource, output: Path, name: str) -> None:
    """Copies one component's weight files, byte for byte, and their index."""
    home = component_folder(base, output, name)
    for file in base.components[name].files:
        (home / file.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, home / file.name)
        for index in file.parent.glob(f"*{INDEX_MARK}*"):
            if file.name in index.read_text("utf-8"):
                shutil.copyfile(index, home / index.name)


def component_folder(base: ModelSource, output: Path, name: str) -> Path:
    """Where a component's weights go: its folder of a pipeline, or the output itself."""
    return output / name if base.form == "pipeline" and name != PROJECTIONS else output


def has_variant(source: Source) -> bool:
    """Whether a variant such as ``fp16`` is part of the names of a component's files."""
    return any(PLAIN_NAME.fullmatch(file.name) is None for file in source.files)


def weights_stem(name: str, source: Source | None) -> str:
    """How a component's weight files are named: by diffusers, or by transformers."""
    if name == PROJECTIONS or source is None:
        return name
    of_transformers = any(file.name.startswith(("model", "pytorch_model")) for file in source.files)
    return "model" if of_transformers else "diffusion_pytorch_model"


def _is_weights(path: Path) -> bool:
    return path.suffix in WEIGHT_SUFFIXES or INDEX_MARK in path.name
