"""Settings as the command line has them: ``0.3,attention=0.1,down=0.5,text_encoder=0``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...config import parse_config
from ...errors import ConfigError
from .rules import Rule, parse_amount

if TYPE_CHECKING:
    from .setting import Setting

FIELDS = ("component", "block", "kind", "filter")
EXAMPLE = "0.3,attention=0.1,down+norm=0:0.5:1,text_encoder=0,filter:time_emb=0.2"
_WORD = re.compile(r"[A-Za-z]\w*")


def parse_setting(text: str) -> Setting:
    """The setting that a short text means.

    ::

        setting    = value | word | part {"," part}
        part       = value | conditions "=" value
        conditions = condition {"+" condition}             all of them must hold
        condition  = name | ("component" | "block" | "kind" | "filter") ":" name
        value      = number {":" number}                   several: a gradient over depth

    A ``name`` alone is that of a component, of a block or section, or of a kind of layer; which,
    is found out where the tensors are known (:func:`.settings.check_setting`). The first part
    that matches a tensor counts; a value alone is for all the rest, wherever it stands. A ``word``
    (``true``, ``false``, ``frequency``) is for parameters that are not numbers.

    Raises:
        ConfigError: the text is none of these.

    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and _WORD.fullmatch(text.strip()):
        word = text.strip()
        return {"true": True, "false": False}.get(word.lower(), word)
    rest: list[float | list[float]] = []
    rules: list[Rule] = []
    for part in parts:
        conditions, equals, value = part.rpartition("=")
        if equals:
            rules.append(
                parse_config(Rule, {**_conditions(conditions, text), "value": _value(value, text)})
            )
        else:
            rest.append(_value(part, text))
    if len(rest) > 1:
        raise _wrong(text, "gives two values for all the rest")
    if not rules:
        return rest[0]
    return [*rules, *(Rule(value=value) for value in rest)]


def format_setting(setting: Setting) -> str:
    """A setting as :func:`parse_setting` reads it; numbers to four figures."""
    if not isinstance(setting, list):
        return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
    if not any(isinstance(item, Rule) for item in setting):
        return ":".join(f"{item:.4g}" for item in setting if not isinstance(item, Rule))
    return ",".join(_format_rule(item) for item in setting if isinstance(item, Rule))


def _format_rule(rule: Rule) -> str:
    asked = [name if field == "match" else f"{field}:{name}" for field, name in rule.conditions]
    value = format_setting(rule.value)
    return f"{'+'.join(asked)}={value}" if asked else value


def _value(text: str, whole: str) -> float | list[float]:
    numbers = text.split(":")
    try:
        return parse_amount(numbers if len(numbers) > 1 else text)
    except ValueError:
        raise _wrong(whole, f"{text.strip()!r} is not a number") from None


def _conditions(text: str, whole: str) -> dict[str, Any]:
    found: dict[str, str] = {}
    terms: list[str] = []
    for condition in text.split("+"):
        field, colon, name = (part.strip() for part in condition.rpartition(":"))
        if not name:
            raise _wrong(whole, "a name is missing")
        if not colon:
            terms.append(name)
        elif field not in FIELDS:
            what = f"{whole!r} is not a setting: unknown condition {field!r}"
            raise ConfigError(what, choices=FIELDS, given=field)
        elif field in found:
            raise _wrong(whole, f"{field} is given twice for one value")
        else:
            found[field] = name
    return {**found, "match": "+".join(terms)} if terms else dict(found)


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"{text!r} is not a setting: {why}", fix=f"write it as in {EXAMPLE}")
