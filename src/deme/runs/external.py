"""Experts that other trainers made: what they own, and their weights in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..decouple import ExpertSpec, TimestepRange
from ..denoisers import Denoiser, ModelConfig
from ..denoisers.contract import PROJECTIONS
from ..errors import ConfigError, MismatchError
from ..merge.ownership import owned_timesteps
from ..merge.sources.adapter_names import is_adapter, list_modules
from ..merge.sources.adapter_targets import candidates_of
from ..merge.sources.comparing import differing_components
from ..merge.sources.contract import DeltaSource, ModelSource, Source, WeightSource
from ..merge.sources.names import match_names
from ..merge.sources.opening import open_expert, open_model
from ..merge.sources.tensor_files import (
    CHECKPOINT_SUFFIXES,
    SAFETENSORS_SUFFIXES,
    open_tensor_file,
)
from .spec import ExternalExpert


@dataclass(frozen=True)
class OpenedExpert:
    """An expert with its files open; nothing but their headers is read yet."""

    spec: ExpertSpec
    """Its name in the run and the range that it owns."""
    path: str
    """As the user gave it."""
    source: ModelSource
    """Its components under the base's names."""


class ExternalExperts:
    """The experts of a run that were made elsewhere, from low to high timesteps.

    Args:
        experts: as the configuration names them.
        model: the pretrained model that they were finetuned from.
        num_timesteps: ``T``.

    Raises:
        ConfigError: a range beyond ``T``.
        ModelError: something that is no model and no adapter.
        MismatchError: an expert of another architecture; the message lists what differs.
        StorageError: a file is missing, truncated or cannot be read.

    """

    def __init__(
        self, experts: Sequence[ExternalExpert], model: ModelConfig, num_timesteps: int
    ) -> None:
        self.base = open_model(model.path, variant=model.variant, revision=model.revision)
        opened = [self._open(expert, num_timesteps) for expert in experts]
        self.experts = tuple(sorted(opened, key=lambda expert: expert.spec.timesteps))

    def _open(self, expert: ExternalExpert, num_timesteps: int) -> OpenedExpert:
        source = open_expert(expert.path, self.base)
        low, high = expert.min_timestep, expert.max_timestep
        if low is None and high is None:
            low, high = owned_timesteps(source)
        timesteps = TimestepRange(low or 0, num_timesteps if high is None else high)
        if timesteps.high > num_timesteps:
            raise ConfigError(
                f"{expert.path} owns the timesteps {timesteps}, and {self.base.origin} has "
                f"{num_timesteps}",
                fix=f"end its range at {num_timesteps}, or before",
            )
        name = expert.name or expert.path  # a run's configuration has named every expert
        return OpenedExpert(ExpertSpec(name, timesteps), expert.path, source)

    def remarks(self, component: str) -> Iterator[str]:
        """What a user should know of the experts before their weights are looked for.

        Args:
            component: the denoising network's name in its pipeline.

        """
        for expert in self.experts:
            others = [name for name in self._components(expert) if name not in _own(component)]
            if others:
                yield (
                    f"{expert.path} also changes {', '.join(others)}: only its {component} takes "
                    "part in the search, the rest is left out"
                )
            halves = _half_precision(expert.source.components.get(component))
            if halves:
                yield (
                    f"{expert.path} is saved in {', '.join(halves)}: differences below its "
                    "precision are lost; a float32 file would keep them"
                )

    def weights(self, index: int, denoiser: Denoiser) -> dict[str, Tensor]:
        """An expert's weights in full, ``θ + τ``, under the network's names.

        Args:
            index: of the expert.
            denoiser: the pretrained model.

        Returns:
            Every tensor of the network, floating-point ones in float32.

        Raises:
            MismatchError: values that are not finite, projections that the base has no place for,
                or an expert that leaves the network as it is.
            StorageError: a file is truncated or cannot be read.

        """
        expert = self.experts[index]
        theta = denoiser.weights()
        found: dict[str, Tensor] = {}
        for name in _own(denoiser.component):
            source = expert.source.components.get(name)
            if source is not None:
                found |= _as_network(self._full(name, source), theta, expert.path)
        if all(torch.equal(tensor, theta[name].cpu()) for name, tensor in found.items()):
            raise MismatchError(
                f"{expert.path} leaves {self.base.origin}'s {denoiser.component} as it is",
                fix="give experts that were finetuned from this base",
            )
        return {**theta, **found}

    def _full(self, component: str, source: Source) -> dict[str, Tensor]:
        if isinstance(source, WeightSource):
            return {name: _float32(source.read(name)) for name in source.layout}
        own = self.base.components[component]
        if isinstance(own, DeltaSource):
            raise MismatchError(f"{self.base.origin} is an adapter, not a model")
        full: dict[str, Tensor] = {}
        for name in source.layout:
            stored = own.read(name)
            full[name] = stored.float() + source.read_delta(name, stored)
        return full

    def _components(self, expert: OpenedExpert) -> list[str]:
        """The components that an expert changes, those among them that the base lacks."""
        changed = dict.fromkeys(differing_components(self.base, expert.source))
        if expert.source.form == "adapter":
            changed |= dict.fromkeys(_adapted_components(expert.source))
        return sorted(changed)


def _own(component: str) -> tuple[str, ...]:
    """The components that the denoiser's network is made of."""
    return component, PROJECTIONS


def _as_network(
    tensors: dict[str, Tensor], theta: dict[str, Tensor], path: str
) -> dict[str, Tensor]:
    """Tensors of files under the names and shapes that the network has in memory.

    Files from older versions of diffusers have other names, which it changes when it loads them.
    """
    names = match_names(theta, tensors)
    strange = sorted({*tensors} - {*names.values()})
    if strange:
        raise MismatchError(
            f"{path} has {len(strange)} tensors that the pretrained model has no place for, such "
            f"as {strange[0]}",
            fix="where they are channel-wise projections, set decouple.projection=block",
        )
    for name in names.values():
        if not bool(torch.isfinite(tensors[name]).all()):
            raise MismatchError(
                f"{path} makes {name} values that are not finite",
                fix="deme inspect counts them; give an expert without them",
            )
    return {name: tensors[theirs].reshape(theta[name].shape) for name, theirs in names.items()}


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype.is_floating_point else tensor


def _half_precision(source: Source | None) -> list[str]:
    """The dtypes of less than float32 that whole weights are saved in."""
    if not isinstance(source, WeightSource):
        return []
    dtypes = {info.dtype for info in source.layout.values()}
    return sorted(
        str(dtype).removeprefix("torch.")
        for dtype in dtypes
        if dtype.is_floating_point and dtype.itemsize < torch.float32.itemsize
    )


def _adapted_components(adapter: ModelSource) -> Iterator[str]:
    """The components that an adapter's own names say it is for, where they say one."""
    files = {file for source in adapter.components.values() for file in source.files}
    for file in sorted(files):
        if file.suffix not in (*SAFETENSORS_SUFFIXES, *CHECKPOINT_SUFFIXES):
            continue  # PEFT's settings
        names = open_tensor_file(file, str(file)).layout
        if not is_adapter(names):
            continue  # compressed: its components are all there is in it
        modules, _ = list_modules(names, str(file))
        for module in modules:
            candidates, _ = candidates_of(module.name)
            if candidates is not None and not {*candidates} & {*adapter.components}:
                yield candidates[0]
