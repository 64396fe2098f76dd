"""A merge in words and numbers: what a dry run prints, and what is said when it is done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..files import free_bytes
from .bound_method import SEED
from .byte_progress import in_units
from .component_merge import ComponentMerge
from .methods import MERGE_METHODS
from .planning import DTYPES, MergePlan
from .recipe import MergeSource
from .settings import format_setting
from .writing import MergeResult


def describe_plan(plan: MergePlan, output: Path, seconds: float) -> list[tuple[str, str]]:
    """Rows of (what, how much) for people.

    Args:
        plan: the merge.
        output: where it would be written, for the free space there.
        seconds: how long it would take.

    """
    rows = [
        ("method", _method(plan)),
        ("base", f"{plan.base.origin} ({plan.base.form})"),
    ]
    for source, expert in zip(plan.recipe.models, plan.experts, strict=True):
        rows.append((f"+ {_short(source.model)}", f"{expert.form}, {_settings(source)}"))
    for name, merge in plan.merged.items():
        rows.append((name, _component(merge, len(plan.experts))))
    if plan.copied:
        rows.append(("copied", ", ".join(plan.copied) + ": no expert changed them"))
    rows += [
        ("reads", in_units(plan.bytes_read)),
        ("writes", f"{in_units(plan.bytes_written)}; {in_units(free_bytes(output))} free"),
        ("time", f"about {seconds:.1f} s"),
    ]
    return rows


def plan_values(plan: MergePlan, seconds: float) -> dict[str, Any]:
    """The same for machines, with every tensor and its numbers."""
    return {
        "merge_method": plan.recipe.merge_method,
        "base_model": plan.base.origin,
        "models": [expert.origin for expert in plan.experts],
        "components": {
            name: {
                "changed_by": [i for i, source in enumerate(merge.experts) if source is not None],
                "tensors": {tensor: _tensor(merge, tensor) for tensor in merge.layout},
            }
            for name, merge in plan.merged.items()
        },
        "copied": list(plan.copied),
        "bytes_read": plan.bytes_read,
        "bytes_written": plan.bytes_written,
        "seconds": seconds,
    }


def describe_result(plan: MergePlan, result: MergeResult) -> list[str]:
    """What was merged and copied, and what half precision lost."""
    lines = [
        f"{name}: merged {len(merge.layout)} tensors of {_counted(_changing(merge), 'expert')}"
        for name, merge in plan.merged.items()
    ]
    if plan.copied:
        lines.append(f"{', '.join(plan.copied)}: copied, no expert changed them")
    for index, expert in enumerate(plan.experts):
        if all(merge.experts[index] is None for merge in plan.merged.values()):
            lines.append(f"{expert.origin} is the base itself: it counts as an unchanged expert")
    for name, loss in result.losses.items():
        dtype = DTYPES.get(result.recipe.dtype)
        floats = [i.dtype for i in plan.merged[name].layout.values() if i.dtype.is_floating_point]
        stored = floats[0] if dtype is None else dtype
        lines.append(f"{name}: {loss.describe(stored)}; --dtype float32 keeps all of it")
    return lines


def _method(plan: MergePlan) -> str:
    settings = plan.recipe.parameters.items()
    given = "".join(f", {name} {format_setting(value)}" for name, value in settings)
    return f"{plan.recipe.merge_method}{given}, stored in {plan.recipe.dtype}"


def _settings(source: MergeSource) -> str:
    owned = ""
    if source.min_timestep is not None or source.max_timestep is not None:
        owned = f"t in [{source.min_timestep or 0}, {source.max_timestep or 'T'}), "
    settings = source.parameters.items()
    given = ", ".join(f"{name} {format_setting(value)}" for name, value in settings)
    return owned + (given or "weight 1/N")


def _component(merge: ComponentMerge, experts: int) -> str:
    numbers = Counter(merge.method.at(place).weights for place in merge.places.values())
    parameters = sum(info.numel for info in merge.layout.values())
    text = f"{len(merge.layout)} tensors, {parameters:,} parameters"
    if _changing(merge) < experts:
        which = [str(i) for i, source in enumerate(merge.experts) if source is not None]
        text += f", changed by expert {', '.join(which)} alone"
    if len(numbers) > 1:
        text += f", {len(numbers)} different settings"
    return text


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _short(path: str) -> str:
    """The end of a path, which tells experts apart."""
    parts = Path(path).parts
    return path if len(parts) < 3 or not Path(path).exists() else f"…/{'/'.join(parts[-2:])}"


def _changing(merge: ComponentMerge) -> int:
    return sum(source is not None for source in merge.experts)


def _tensor(merge: ComponentMerge, name: str) -> dict[str, Any]:
    place, info = merge.places[name], merge.layout[name]
    numbers = merge.method.at(place)
    return {
        "shape": list(info.shape),
        "dtype": str(info.dtype).removeprefix("torch."),
        "bytes": info.nbytes,
        "block": place.block,
        "kind": place.kind,
        "method": numbers.method.name,
        "weights": list(numbers.weights),
        "parameters": dict(numbers.parameters),
    }


def describe_methods() -> list[tuple[str, str]]:
    """Every merge method with its formula, what it takes beside weights, and whom to cite."""
    rows = []
    for name, method in sorted(MERGE_METHODS.items()):
        says = (method.function.__doc__ or "").strip().partition("\n")[0].replace("``", "")
        takes = ", ".join(
            f"{parameter.rstrip('_')}={default}"
            + (" (each)" if parameter in method.per_expert else "")
            for parameter, default in method.parameters.items()
            if parameter != SEED
        )
        needs = f"needs {method.statistics} statistics" if method.statistics else ""
        rows.append((name, "\n".join(filter(None, [says, takes, needs, method.paper]))))
    return rows
