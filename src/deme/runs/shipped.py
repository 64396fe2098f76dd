"""YAML that comes with the package, or lies here: found by name, read to keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError

SUFFIX = ".yaml"


@dataclass(frozen=True)
class Shipped:
    """One kind of configuration.

    Attributes:
        package: whose folder holds the shipped ones.
        kind: what one is called, for errors.
        fix: what to do where a name is neither shipped nor a file.
        below: a folder below the package's.
        prefix: put before a shipped one's name where it names no other.

    """

    package: str
    kind: str
    fix: str | None = None
    below: str = ""
    prefix: str = ""

    @property
    def _folder(self) -> Traversable:
        return resources.files(self.package).joinpath(self.below)

    def names(self) -> dict[str, str]:
        """The shipped ones: name to the first comment line, which says what each is."""
        found = {}
        for entry in self._folder.iterdir():
            if entry.name.endswith(SUFFIX):
                first = entry.read_text("utf-8").splitlines()[0]
                found[entry.name.removesuffix(SUFFIX)] = first.lstrip("# ").strip()
        return dict(sorted(found.items()))

    def text(self, name: str) -> str:
        """The YAML of a shipped one."""
        return self._folder.joinpath(f"{name}{SUFFIX}").read_text("utf-8")

    def values(self, source: str, *, fix: str | None = None) -> dict[str, Any]:
        """Keys and values of a file, or of a shipped one by its name; a name is among them.

        Args:
            source: a path or a name; a file comes before a shipped one of that name.
            fix: in place of the usual one, where what was given tells more.

        Raises:
            ConfigError: no such file or name, or YAML that does not parse.

        """
        path, shipped = Path(source).expanduser(), self.names()
        if path.is_file():
            text, name = _read_text(path), path.stem
        elif source in shipped:
            text, name = self.text(source), f"{self.prefix}{source}"
        else:
            raise ConfigError(
                f"{source!r} is neither a YAML file here nor a shipped {self.kind}",
                choices=shipped,
                given=source,
                fix=fix or self.fix,
            )
        return {"name": name, **_parse(text, source)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {error}") from error


def _parse(text: str, source: str) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{source} is not a mapping of keys to values",
            fix="`deme init my.yaml` writes a commented configuration to start from",
        )
    return values
