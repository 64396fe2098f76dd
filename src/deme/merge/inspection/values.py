"""An inspection as plain values, for JSON."""

from __future__ import annotations

from typing import Any

from .inspecting import ComponentSums, Inspection, ModelFacts
from .sums import ElementSums


def inspection_values(inspection: Inspection) -> dict[str, Any]:
    """All that was found, as dictionaries, lists and numbers that are finite.

    ``models`` has the base first; ``comparison`` is empty where no expert was given. Lists have an
    entry for each of the component's ``changed_by`` (indices into ``models``), in that order.
    """
    models = [_model(inspection, index) for index in range(1 + len(inspection.experts))]
    comparison = {
        name: _comparison(sums) for name, sums in inspection.components.items() if sums.changed_by
    }
    return {"models": models, "comparison": comparison}


def _model(inspection: Inspection, index: int) -> dict[str, Any]:
    model: ModelFacts = (inspection.base, *inspection.experts)[index]
    components: dict[str, Any] = {}
    for name, facts in model.components.items():
        sums = inspection.components[name]
        components[name] = {
            "class": facts.class_name,
            "tensors": facts.tensors,
            "parameters": facts.parameters,
            "bytes": facts.nbytes,
            "dtypes": dict(facts.dtypes),
            "nan": facts.nan,
            "inf": facts.inf,
            "norm": _norm(sums.whole, sums, index),
            "blocks": {block: _norm(part, sums, index) for block, part in sums.blocks.items()},
        }
    return {"model": model.origin, "form": model.form, "components": components}


def _norm(part: ElementSums, sums: ComponentSums, index: int) -> float:
    """The norm of a model's own weights; an expert that left the component has the base's."""
    if index - 1 not in sums.changed_by:
        return part.base_norm
    return part.expert_norms[sums.changed_by.index(index - 1)]


def _comparison(sums: ComponentSums) -> dict[str, Any]:
    return {
        "changed_by": [1 + expert for expert in sums.changed_by],
        **_part(sums.whole),
        "blocks": {block: _part(part) for block, part in sums.blocks.items()},
        "kinds": {kind: _part(part) for kind, part in sums.kinds.items()},
    }


def _part(part: ElementSums) -> dict[str, Any]:
    return {
        "elements": part.elements,
        "base_norm": part.base_norm,
        "norms": part.norms,
        "relative_norms": part.relative_norms,
        "changed": part.changed,
        "surviving": part.surviving,
        "cosines": part.cosines,
        "sign_conflicts": part.sign_conflicts,
        "contested": part.contested_share,
    }
