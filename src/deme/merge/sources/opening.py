"""Opening a model by its path or hub id, and experts in its own names."""

from __future__ import annotations

from pathlib import Path

from ...denoisers.contract import PROJECTIONS
from ...denoisers.loading import BUNDLED, ModelConfig, resolve_folder
from ...errors import ModelError, StorageError
from .adapter_names import is_adapter
from .adapter_settings import CONFIG_FILE as ADAPTER_CONFIG
from .adapter_settings import read_settings
from .adapters import AdapterFile, open_adapter
from .component_files import list_weight_files
from .contract import ModelSource, Source
from .families import component_of_names
from .folder import INDEX, open_component, open_loose_components, open_pipeline
from .mapped import MappedSource
from .matching import match_expert
from .single_file import is_original, split_components
from .tensor_files import CHECKPOINT_SUFFIXES, SAFETENSORS_SUFFIXES, open_tensor_file

ADAPTER_STEMS = ("adapter_model", "pytorch_lora_weights")
"""How PEFT and diffusers name the weights of adapters."""
COMPONENTS = ("unet", "transformer", "text_encoder", "text_encoder_2")
"""Folders that adapters of a whole pipeline may lie in."""
UNKNOWN = "model"
"""The one component of a file that looks like none of a pipeline's."""
_SUFFIXES = (*SAFETENSORS_SUFFIXES, *CHECKPOINT_SUFFIXES)


def open_model(
    path: str | Path, *, variant: str | None = None, revision: str | None = None
) -> ModelSource:
    """A model to merge onto: its components under their own names.

    Args:
        path: a pipeline's or component's folder, a file of weights, a hub id, or ``digits``.
        variant: weight file variant such as ``fp16``, of folders; None takes the weights without
            one, or the only variant that there is.
        revision: branch, tag or commit on the hub.

    Raises:
        ModelError: not a model, or an adapter.
        StorageError: a file is missing, truncated or cannot be read.

    """
    origin = str(path)
    location = _locate(origin, variant, revision)
    opened = None if _is_compressed(location) else _open(location, origin, variant)
    if isinstance(opened, ModelSource):
        return opened
    kind = "a compressed expert" if opened is None else "an adapter"
    raise ModelError(f"{origin} is {kind}, not a model", fix="give the model that it was made from")


def open_expert(
    path: str | Path,
    base: ModelSource,
    *,
    variant: str | None = None,
    revision: str | None = None,
) -> ModelSource:
    """An expert, its components under the base's own names.

    Args:
        path: as for :func:`open_model`; also a low-rank adapter's file or folder, an expert that
            ``deme compress`` wrote, and a folder of components without an index, as training
            scripts leave it.
        base: the model that it was finetuned from.
        variant: as for :func:`open_model`.
        revision: as for :func:`open_model`.

    Raises:
        ModelError: not a model, or a kind of adapter that is not read.
        MismatchError: an expert of another architecture; the message says what differs, and what
            family it looks like.
        StorageError: a file is missing, truncated or cannot be read.

    """
    origin = str(path)
    location = _locate(origin, variant, revision)
    if _is_compressed(location):
        from ..compression import open_for_base  # which builds on these sources

        return open_for_base(location, base)
    opened = _open(location, origin, variant, tuple(base.components))
    if isinstance(opened, ModelSource):
        return match_expert(opened, base)
    return open_adapter(opened, base, origin)


def _is_compressed(location: Path) -> bool:
    from ..compression import is_compressed

    return location.suffix in SAFETENSORS_SUFFIXES and is_compressed(location)


def _locate(path: str, variant: str | None, revision: str | None) -> Path:
    """The file or folder of this name, or the hub's snapshot."""
    try:
        return _find(path, variant, revision)
    except PermissionError as error:
        raise StorageError(f"No permission to read {error.filename or path}") from error


def _find(path: str, variant: str | None, revision: str | None) -> Path:
    local = Path(path).expanduser()
    if path not in BUNDLED and local.is_file():
        return local
    folder = resolve_folder(ModelConfig(path=path, variant=variant, revision=revision))
    if (folder / INDEX).is_file() or (folder / ADAPTER_CONFIG).is_file():
        return folder
    inside = sorted(folder.iterdir())
    if any(list_weight_files(path) for path in (folder, *inside) if path.is_dir()):
        return folder
    # what a training script wrote beside its logs, under a name of the user's
    files = [path for path in inside if path.suffix in _SUFFIXES]
    return files[0] if len(files) == 1 else folder


def _open(
    location: Path, origin: str, variant: str | None, components: tuple[str, ...] = ()
) -> ModelSource | list[AdapterFile]:
    """A model under its own names, or an adapter's files.

    Args:
        location: the file or folder.
        origin: how the user named it.
        variant: weight file variant.
        components: folders of these names may lie side by side without an index.

    """
    if location.is_file():
        tensors = open_tensor_file(location, origin)
        if not is_adapter(tensors.layout):
            return _open_file(tensors)
        parent = location.absolute().parent
        if location.stem not in ADAPTER_STEMS:
            return [AdapterFile(tensors, called=location.stem)]
        return [_adapter(tensors, parent)]
    if (location / INDEX).is_file():
        return open_pipeline(location, origin, variant)
    adapters = _adapters_inside(location, origin, components or COMPONENTS)
    if adapters:
        return adapters
    if components and not list_weight_files(location):
        loose = open_loose_components(location, origin, components, variant)
        if loose is not None:
            return loose
    return open_component(location, origin, variant)


def _open_file(tensors: MappedSource) -> ModelSource:
    """One file of weights under its own names: a whole model, or one component."""
    if is_original(tensors.layout):
        components: dict[str, Source] = dict(split_components(tensors))
        return ModelSource(tensors.origin, components, None, "file")
    kept = [name for name in tensors.layout if name.startswith(PROJECTIONS)]
    rest = [name for name in tensors.layout if not name.startswith(PROJECTIONS)]
    components = {PROJECTIONS: tensors.select(kept)} if kept else {}
    if rest:
        name = component_of_names(rest) or UNKNOWN
        components[name] = tensors.select(rest)
    return ModelSource(tensors.origin, components, None, "file")


def _adapters_inside(location: Path, origin: str, components: tuple[str, ...]) -> list[AdapterFile]:
    """The files of an adapter in a folder: one, or one in the folder of each component."""
    found: list[AdapterFile] = []
    names = [f"{stem}{suffix}" for stem in ADAPTER_STEMS for suffix in _SUFFIXES]
    for folder in (location, *(location / name for name in components)):
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file is not None:
            tensors = open_tensor_file(file, origin)
            found.append(_adapter(tensors, folder.absolute()))
    return found


def _adapter(tensors: MappedSource, folder: Path) -> AdapterFile:
    config = folder / ADAPTER_CONFIG
    if not config.is_file():
        return AdapterFile(tensors, called=folder.name)
    return AdapterFile(tensors, read_settings(config), config, folder.name)
