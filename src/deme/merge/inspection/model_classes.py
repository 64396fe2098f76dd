"""Which class a component of a model is of, as its configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..sources.contract import ModelSource


def class_of(model: ModelSource, component: str) -> str | None:
    """The class that ``config.json`` or ``model_index.json`` names; None where neither does."""
    if model.folder is None:
        return None
    own = _read(model.folder / component / "config.json")
    if model.form == "component":
        own = own or _read(model.folder / "config.json")
    named = own.get("architectures")
    names = [own.get("_class_name"), named[0] if isinstance(named, list) and named else None]
    entry = _read(model.folder / "model_index.json").get(component)
    names.append(entry[-1] if isinstance(entry, list) and entry else None)
    return next((name for name in names if isinstance(name, str)), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # what is told of a model does not hang on its configuration
        return {}
    return content if isinstance(content, dict) else {}
