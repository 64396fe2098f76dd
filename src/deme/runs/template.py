"""A commented configuration, made from the configuration classes themselves."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .spec import RunSpec

HEADER = """\
# A deme run: what is improved, on what, how, and how that is judged.
# `deme run THIS.yaml --dry-run` says what it would cost; keys you leave out keep these defaults.
"""
EXAMPLES: dict[str, Any] = {
    "model.path": "google/ddpm-cifar10-32",
    "data.dataset": "uoft-cs/cifar10",
}


def commented_template() -> str:
    """YAML with every key, its default, and its description as a comment."""
    return HEADER + "\n".join(_lines(RunSpec, "", 0)) + "\n"


def _lines(kind: type[BaseModel], prefix: str, indent: int) -> list[str]:
    pad = "  " * indent
    lines: list[str] = []
    for name, field in kind.model_fields.items():
        key = f"{prefix}{name}"
        description = " ".join((field.description or "").split())
        inner = field.annotation
        if indent == 0:
            lines.append("")
        lines += textwrap.wrap(
            description, 96, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# "
        )
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            lines.append(f"{pad}{name}:")
            lines += _lines(inner, f"{key}.", indent + 1)
        else:
            lines.append(f"{pad}{name}: {_value(key, field)}")
    return lines


def _value(key: str, field: FieldInfo) -> str:
    value = EXAMPLES.get(key, field.get_default(call_default_factory=True))
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return text.removesuffix("...").strip()


def configuration_page() -> str:
    """The documentation's reference of the configuration."""
    return (
        "# Configuration\n\n"
        "Every key with its default. `deme init my.yaml` writes this file; on the command line,\n"
        "`--set decouple.steps=500` overrides a key.\n\n"
        f"```yaml\n{commented_template()}```\n"
    )


if __name__ == "__main__":
    print(configuration_page(), end="")
