"""One family of errors: each names the value, the valid choices and the fix.

Every error that a user can cause derives from :class:`DemeError`; the command line prints its
message and ends with its exit code (1 failed, 2 wrong usage). Errors are never ``assert``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class DemeError(Exception):
    """Something the user can mend. ``str(error)`` is the whole message.

    Args:
        what: what is wrong, naming the value that was met.
        choices: the valid values, if they can be listed.
        fix: what to do about it, as an imperative sentence.
        given: the value that was met where ``choices`` are names; the nearest is suggested.

    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        choices: Iterable[object] | None = None,
        fix: str | None = None,
        given: str | None = None,
    ) -> None:
        what = what.rstrip()
        parts = [what if what.endswith((".", "?", "!", ":")) else f"{what}."]
        names = None if choices is None else [str(choice) for choice in choices]
        if names is not None and given is not None and (near := nearest(given, names)):
            parts.append(f"Did you mean {near!r}?")
        if names is not None:
            parts.append(f"Choices: {', '.join(names) or 'none'}.")
        if fix is not None:
            parts.append(f"Fix: {fix.rstrip('.')}.")
        super().__init__(("\n" if "\n" in what else " ").join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Survives the way back from another process, whatever the subclass's arguments are."""
        return _restore, (type(self), str(self))


class ConfigError(DemeError):
    """The configuration or the command line is wrong; nothing was started."""

    exit_code = 2


class DataError(DemeError):
    """The images cannot be used."""


class ModelError(DemeError):
    """The model is not one that can be improved here."""


class MismatchError(DemeError):
    """Two sets of weights do not belong together."""


class TrainingError(DemeError):
    """Training cannot go on (a loss that is not a number, say)."""


class ProtocolError(DemeError):
    """Two numbers were made in different ways and must not be compared."""


class StorageError(DemeError):
    """A file cannot be read or written: no space, no permission, truncated."""


class RunLockedError(StorageError):
    """Another process works on this run."""


class MissingExtraError(DemeError):
    """An optional dependency is needed here and is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed",
            fix=f"pip install 'deme[{extra}]'",
        )


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like ``name`` (letter case aside), or None where nothing is near."""
    by_folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _restore(kind: type[DemeError], message: str) -> DemeError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error
