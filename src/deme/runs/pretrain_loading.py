"""From a YAML file, or a shipped pretraining's name, to a PretrainSpec."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ..config import parse_config
from ..errors import ConfigError
from .overrides import apply_override
from .pretrain_spec import PretrainSpec, start_values
from .recipes import parse_yaml

_SHIPPED = resources.files("deme.recipes").joinpath("pretraining")


def list_pretrainings() -> dict[str, str]:
    """Shipped pretrainings: name to the first comment line, which says what each is."""
    found = {}
    for entry in _SHIPPED.iterdir():
        if entry.name.endswith(".yaml"):
            first = entry.read_text("utf-8").splitlines()[0]
            found[entry.name.removesuffix(".yaml")] = first.lstrip("# ").strip()
    return dict(sorted(found.items()))


def load_pretraining(source: str, overrides: Sequence[str] = ()) -> PretrainSpec:
    """Reads a pretraining from a YAML file, or a shipped one by its name.

    Args:
        source: a path, or a name such as `fashion-mnist`.
        overrides: `dotted.key=value`, the value in YAML.

    Raises:
        ConfigError: no such file or name, YAML that does not parse, or keys and values that are not
            valid; the message names each with its choices.

    """
    path, shipped = Path(source).expanduser(), list_pretrainings()
    if path.is_file():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"Cannot read {path}: {error}") from error
    elif source in shipped:
        text = _SHIPPED.joinpath(f"{source}.yaml").read_text("utf-8")
    else:
        raise ConfigError(
            f"{source!r} is neither a YAML file here nor a shipped pretraining",
            choices=shipped,
            given=source,
            fix="name one of them, or write a file with the keys model, data and training",
        )
    values = parse_yaml(text, source)
    values.setdefault("name", path.stem if path.is_file() else source)
    if isinstance(values.get("model"), str):
        values["model"] = start_values(values["model"])
    for override in overrides:
        apply_override(values, override)
    return parse_config(PretrainSpec, values)
