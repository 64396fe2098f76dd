"""An inspection as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..byte_progress import in_units
from .inspecting import ComponentFacts, ComponentSums, Inspection, ModelFacts
from .sums import EXPORTS, ElementSums

NONE = "–"
FACTS = ("tensors", "parameters", "size", "stored as", "not finite")
SHORT = 10
"""Longest names of experts that head a column; longer ones are numbered."""


def inspection_tables(inspection: Inspection) -> RenderableType:
    """What each model is made of; and where experts were given, how they differ.

    Without experts: the norm of each block. With experts: of each component that one changed, the
    task vectors' sizes and what half precision would leave of them, their cosines and conflicts of
    signs, and all that by block and by kind of layer. 100 columns do for four experts.
    """
    origins = [inspection.base.origin, *(model.origin for model in inspection.experts)]
    labels = _labels(origins)
    names = list(inspection.components)
    parts: list[RenderableType] = [
        Text(f"{labels[0]} ({inspection.base.form})", style="bold"),
        _base(inspection.base, names),
    ]
    if inspection.experts:
        parts += [_title("experts"), _expert_models(inspection.experts, labels[1:], names)]
    for name, sums in inspection.components.items():
        if not inspection.experts:
            parts += _norms(name, sums)
        elif sums.changed_by:
            parts += _comparison(name, sums, [labels[1 + i] for i in sums.changed_by])
    same = [name for name, sums in inspection.components.items() if not sums.changed_by]
    if inspection.experts and same:
        parts.append(Text(f"{', '.join(same)}: no expert differs from the base"))
    return Group(*parts)


def _base(model: ModelFacts, names: Sequence[str]) -> Table:
    table = _table("component", "class", *FACTS)
    table.columns[1].justify = "left"
    for name in names:
        if facts := model.components.get(name):
            table.add_row(name, facts.class_name or NONE, *_facts(facts))
    return table


def _expert_models(
    models: Sequence[ModelFacts], labels: Sequence[str], names: Sequence[str]
) -> Table:
    table = _table("", "", "component", *FACTS)
    for column in table.columns[1:3]:
        column.justify = "left"
    for label, model in zip(labels, models, strict=True):
        shown = (label, model.form)
        for name in names:
            if facts := model.components.get(name):
                table.add_row(*shown, name, *_facts(facts))
                shown = ("", "")
    return table


def _facts(facts: ComponentFacts) -> Iterator[RenderableType]:
    yield str(facts.tensors)
    yield _count(facts.parameters)
    yield in_units(facts.nbytes)
    yield ", ".join(facts.dtypes)
    found = [f"{n} {what}" for n, what in ((facts.nan, "NaN"), (facts.inf, "Inf")) if n]
    yield Text(", ".join(found) or "0", style="bold red" if found else "dim")


def _norms(component: str, sums: ComponentSums) -> list[RenderableType]:
    table = _table("block", "parameters", "‖θ‖", "root mean square")
    for name, part in _with_whole(sums.blocks):
        rms = part.base_norm / max(1, part.elements) ** 0.5
        table.add_row(name, _count(part.elements), _figures(part.base_norm), _figures(rms))
    return [_title(f"{component}: norms"), table]


def _comparison(component: str, sums: ComponentSums, labels: Sequence[str]) -> list[RenderableType]:
    numbers = [str(i + 1) for i in range(len(labels))]
    short = len(labels) <= 4 and max(map(len, labels)) <= SHORT
    headings = labels if short else numbers
    names = labels if short else [f"{n} {label}" for n, label in zip(numbers, labels, strict=True)]
    parts = _experts(component, sums, names)
    if len(labels) > 1:
        parts += _pairs(component, sums, names, headings)
    for noun, cells in (("block", sums.blocks), ("kind", sums.kinds)):
        parts += _parts(component, noun, cells, headings)
    return parts


def _experts(component: str, sums: ComponentSums, names: Sequence[str]) -> list[RenderableType]:
    exports = [f"kept by {name}" for name in EXPORTS]
    table = _table("expert", "‖τ‖", "‖τ‖/‖θ‖", "changed", *exports)
    whole = sums.whole
    for i, name in enumerate(names):
        table.add_row(
            name,
            _figures(whole.norms[i]),
            _percent(whole.relative_norms[i]),
            _percent(whole.changed[i]),
            *(_percent(whole.surviving[export][i]) for export in EXPORTS),
        )
    title = "task vectors τ; elements they change; those that stay changed in half precision"
    return [_title(f"{component}: {title}"), table]


def _pairs(
    component: str, sums: ComponentSums, names: Sequence[str], headings: Sequence[str]
) -> list[RenderableType]:
    table = _table("", *headings[:-1])
    cosines, conflicts = sums.whole.cosines, sums.whole.sign_conflicts
    for i, name in enumerate(names[1:], start=1):
        cells = [f"{_cosine(cosines[i][j])}  {_percent(conflicts[i][j])}" for j in range(i)]
        table.add_row(name, *cells)
    return [_title(f"{component}: cosines, and opposed signs (by chance 50 %)"), table]


def _parts(
    component: str, noun: str, parts: Mapping[str, ElementSums], headings: Sequence[str]
) -> list[RenderableType]:
    count = len(headings)
    title = f"{component}: ‖τ‖/‖θ‖ by {noun}"
    if count > 1:
        cosine = "cosine" if count == 2 else "mean cosine"
        chance = _percent(1 - 0.5 ** (count - 1))
        title += f"; {cosine}; signs not all the same (by chance {chance})"
    table = _table(noun, "‖θ‖", *headings, *(["cosine", "opposed"] if count > 1 else []))
    for name, part in _with_whole(parts):
        cells = [_figures(part.base_norm), *map(_percent, part.relative_norms)]
        if count > 1:
            cells += [_mean_cosine(part), _percent(part.contested_share) if part.shared else NONE]
        table.add_row(name, *cells)
    return [_title(title), table]


def _with_whole(parts: Mapping[str, ElementSums]) -> list[tuple[str, ElementSums]]:
    """The parts, and the sum of them as the last."""
    experts = next((part.experts for part in parts.values()), 0)
    whole = ElementSums(experts)
    for part in parts.values():
        whole += part
    return [*parts.items(), ("all", whole)]


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(first: str, *columns: str) -> Table:
    """A table with a column of names, which are never broken, and columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _labels(origins: Sequence[str]) -> list[str]:
    """The last part of each path, without a file's suffix; the whole where that is not unique."""
    names = [Path(origin).name.removesuffix(".safetensors") or origin for origin in origins]
    pairs = zip(names, origins, strict=True)
    return [name if names.count(name) == 1 else origin for name, origin in pairs]


def _mean_cosine(part: ElementSums) -> str:
    """Over the pairs of task vectors that are not 0."""
    cosines, moved = part.cosines, [i for i, norm in enumerate(part.norms) if norm > 0]
    found = [cosines[i][j] for i, j in combinations(moved, 2)]
    return _cosine(sum(found) / len(found)) if found else NONE


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _figures(value: float) -> str:
    """Three figures."""
    return f"{value:.0f}" if 1000 <= value < 1e6 else f"{value:#.3g}".rstrip(".")


def _percent(share: float | None) -> str:
    if share is None:
        return NONE
    return "0 %" if share == 0 else f"{_figures(100 * share)} %"


def _cosine(value: float) -> str:
    text = f"{value:+.3f}".replace("-", "−")
    return text if float(f"{value:.3f}") else text[1:]
