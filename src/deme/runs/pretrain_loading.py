"""From a YAML file, or a shipped pretraining's name, to a PretrainSpec."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import parse_config
from .overrides import apply_override
from .pretrain_spec import PretrainSpec, start_values
from .shipped import Shipped

PRETRAININGS = Shipped(
    "deme.recipes",
    "pretraining",
    "name one of them, or write a file with the keys model, data and training",
    below="pretraining",
)


def list_pretrainings() -> dict[str, str]:
    """Shipped pretrainings: name to the first comment line, which says what each is."""
    return PRETRAININGS.names()


def load_pretraining(source: str, overrides: Sequence[str] = ()) -> PretrainSpec:
    """Reads a pretraining from a YAML file, or a shipped one by its name.

    Args:
        source: a path, or a name such as `fashion-mnist`.
        overrides: `dotted.key=value`, the value in YAML.

    Raises:
        ConfigError: no such file or name, YAML that does not parse, or keys and values that are not
            valid; the message names each with its choices.

    """
    values = PRETRAININGS.values(source)
    if isinstance(values.get("model"), str):
        values["model"] = start_values(values["model"])
    for override in overrides:
        apply_override(values, override)
    return parse_config(PretrainSpec, values)
