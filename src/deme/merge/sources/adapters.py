"""Low-rank adapters as differences: LoRA and its relatives, whoever named their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...denoisers.contract import PROJECTIONS
from ...errors import MismatchError, ModelError
from .adapter_deltas import Scale, bias_delta, weight_delta
from .adapter_names import AdapterModule, list_modules
from .adapter_settings import AdapterSettings, read_component_settings
from .adapter_targets import (
    DENOISERS,
    PEFT_PREFIX,
    REPLACEMENT,
    Target,
    TargetNames,
    candidates_of,
)
from .contract import DeltaSource, ModelSource, Source, TensorInfo, WeightSource
from .families import describe_adapter, describe_layout
from .mapped import MappedSource
from .single_file import REST
from .views import View, is_part

SHOWN = 6
BASE_METADATA = "ss_base_model_version"
"""kohya's scripts note here what they trained on."""


@dataclass(frozen=True)
class AdapterFile:
    """One file of an adapter, opened."""

    tensors: MappedSource
    settings: AdapterSettings | None = None
    """Of PEFT's configuration; None where there is none, and the file says all itself."""
    config: Path | None = None
    """The file of that configuration."""
    called: str | None = None
    """What its folder or file is called, which may be what it is for."""


class AdapterDelta(DeltaSource):
    """``τ`` of the weights of one component that an adapter changes, made when they are read."""

    def __init__(
        self,
        file: AdapterFile,
        settings: AdapterSettings,
        targets: Sequence[Target],
        layout: Mapping[str, TensorInfo],
    ) -> None:
        self.origin = file.tensors.origin
        self.files = (*file.tensors.files, *([file.config] if file.config else []))
        self._tensors = file.tensors
        self._targets: dict[str, Target] = {}
        self._scales = {t.module.name: _scale(t, file.tensors, settings) for t in targets}
        for target in targets:
            for name in (target.weight, target.bias):
                if name is not None and _changes(target, name):
                    if name in self._targets:
                        raise ModelError(f"{self.origin} changes {name} twice")
                    self._targets[name] = target
        self.layout = {name: layout[name] for name in sorted(self._targets)}

    def read_delta(self, name: str, base: Tensor) -> Tensor:
        """``τ`` of one tensor; see :meth:`DeltaSource.read_delta`."""
        target = self._targets[name]
        roles = target.module.tensors
        factors = {r: self._tensors.read(found) for r, found in roles.items() if r != "alpha"}
        if REPLACEMENT in factors:
            new = factors[REPLACEMENT].reshape(base.shape)
            return new.float() - base.to(new.dtype).float()
        scale = self._scales[target.module.name]
        delta = bias_delta(factors, scale) if name == target.bias else None
        return weight_delta(factors, base, scale) if delta is None else delta


def _scale(target: Target, tensors: MappedSource, settings: AdapterSettings) -> Scale:
    name = target.module.tensors.get("alpha")
    alpha = None if name is None else tensors.read(name)
    if alpha is not None and alpha.numel() != 1:
        raise ModelError(f"{tensors.origin}: {name} holds {alpha.numel()} numbers, not one")
    return settings.scale(target.name, None if alpha is None else float(alpha))


def _changes(target: Target, name: str) -> bool:
    roles = target.module.tensors.keys()
    of_bias = {"diff_bias", "up_bias"}
    return bool(roles & of_bias) if name == target.bias else bool(roles - of_bias - {"alpha"})


def open_adapter(files: Sequence[AdapterFile], base: ModelSource, origin: str) -> ModelSource:
    """An adapter as differences of the base's own tensors, for each component that it changes.

    Args:
        files: the adapter's files.
        base: the model that it was trained for.
        origin: how the user named it.

    Raises:
        ModelError: an adapter of a kind that is not read.
        MismatchError: it was trained for another model; the message says which modules are not
            there, and what model it looks made for.

    """
    components: dict[str, Source] = {}
    for file in files:
        for candidates, modules in _groups(file, base).items():
            here = [name for name in candidates or base.components if name in base.components]
            here = [name for name in here if name not in (PROJECTIONS, REST)]
            if not here and is_part(base):
                continue
            view, targets = _choose(file, modules, here, candidates, base)
            settings = file.settings
            if settings is None:
                metadata = file.tensors.metadata
                settings = read_component_settings(metadata, view.component, origin)
            if view.component in components:
                raise ModelError(f"{origin} holds two adapters for the {view.component}")
            delta = AdapterDelta(file, settings, targets, view.diffusers.layout)
            components[view.component] = view.delta(delta)
    if not components:
        raise MismatchError(f"{origin} changes nothing in {base.origin}", choices=base.components)
    return ModelSource(origin, dict(sorted(components.items())), None, "adapter")


Group = list[tuple[str, AdapterModule]]
"""Modules with their names in the component."""


def _groups(file: AdapterFile, base: ModelSource) -> dict[tuple[str, ...] | None, Group]:
    """The modules by the components that they may be of, and by their names there."""
    modules, rest = list_modules(file.tensors.layout, file.tensors.origin)
    strange = [name for name in rest if not name.startswith(PEFT_PREFIX)]
    if strange:
        raise ModelError(
            f"{file.tensors.origin} holds {len(strange)} tensors that are no part of an adapter, "
            f"such as {strange[0]!r}",
            fix="give a plain LoRA file",
        )
    kept = [AdapterModule(name, {REPLACEMENT: name}) for name in rest]
    groups: dict[tuple[str, ...] | None, Group] = {}
    for module in (*modules, *kept):
        candidates, name = candidates_of(module.name)
        if REPLACEMENT in module.tensors:
            name = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        if candidates is None and file.called is not None and file.called in base.components:
            candidates = (file.called,)
        groups.setdefault(tuple(candidates) if candidates else None, []).append((name, module))
    return groups


def _choose(
    file: AdapterFile,
    modules: Group,
    here: Sequence[str],
    candidates: Sequence[str] | None,
    base: ModelSource,
) -> tuple[View, list[Target]]:
    """The component that all the modules fit."""
    origin = file.tensors.origin
    if not here:
        raise MismatchError(
            f"{origin} is for the {' or '.join(candidates or ())}, which {base.origin} does not "
            f"have. {_families(file, base)}",
            choices=base.components,
            fix="give an adapter that was trained for this very base",
        )
    fitting: list[tuple[View, list[Target]]] = []
    problems: dict[str, list[str]] = {}
    for component in here:
        if not isinstance(base.components[component], WeightSource):
            continue
        view = View(base, component)
        targets, wrong = _resolve(file, modules, view)
        problems[component] = wrong
        if not wrong:
            fitting.append((view, targets))
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = [view.component for view, _ in fitting]
        raise MismatchError(
            f"{origin} fits several of {base.origin}'s components",
            choices=names,
            fix=f"put it into a folder that says which, such as {names[0]}/",
        )
    nearest = min(problems, key=lambda component: len(problems[component]))
    raise _misfit(file, len(modules), nearest, problems[nearest], base)


def _resolve(file: AdapterFile, modules: Group, view: View) -> tuple[list[Target], list[str]]:
    names = TargetNames(view.diffusers.layout)
    targets: list[Target] = []
    wrong: list[str] = []
    for name, module in modules:
        found = names.find(module, name)
        if isinstance(found, str):
            wrong.append(f"{module.name!r}: {found}")
            continue
        layout = file.tensors.layout
        shapes = {r: layout[tensor] for r, tensor in module.tensors.items() if r != "alpha"}
        problem = names.check(found, shapes)
        if problem is not None:
            wrong.append(f"{module.name!r}: {problem}")
        targets.append(found)
    return targets, wrong


def _misfit(
    file: AdapterFile, count: int, component: str, wrong: Sequence[str], base: ModelSource
) -> MismatchError:
    more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return MismatchError(
        f"{file.tensors.origin} does not fit {base.origin}: {len(wrong)} of {count} modules are "
        f"not in its {component} or have another shape there:\n  "
        + "\n  ".join(wrong[:SHOWN])
        + f"{more}\n{_families(file, base)}",
        fix="give an adapter that was trained for this very base",
    )


def _families(file: AdapterFile, base: ModelSource) -> str:
    noted = file.tensors.metadata.get(BASE_METADATA)
    trained = f" (its metadata says {noted[:60]!r})" if noted else ""
    component = next((name for name in DENOISERS if name in base.components), None)
    layout = base.components[component or next(iter(base.components))].layout
    return (
        f"It looks made for {describe_adapter(file.tensors.layout)}{trained}; the base looks like "
        f"{describe_layout(layout)}"
    )
