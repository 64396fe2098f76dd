"""A named protocol in a configuration: it fills what is not given, and refuses what contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, ProtocolError
from ..metrics.named_protocols import NamedProtocol, protocol_named


def filled_evaluation(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """An ``evaluate`` section with its protocol's fields; as it is where it names none.

    Raises:
        ValueError: a given field contradicts the protocol, or deme cannot carry it out yet.

    """
    protocol = _protocol_of(values)
    if protocol is None:
        return values
    fixed = protocol.evaluation_fields()
    _refuse(protocol, protocol.differences(fixed, values))
    return {**fixed, **values}


def filled_run(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run's sections with its protocol's detector and data; as they are where it names none.

    Raises:
        ValueError: as for :func:`filled_evaluation`.

    """
    evaluate = values.get("evaluate")
    protocol = _protocol_of(evaluate) if isinstance(evaluate, Mapping) else None
    if protocol is None:
        return values
    data = values.get("data", {})
    data = {"dataset": data} if isinstance(data, str) else data
    if not isinstance(data, Mapping):  # whatever it is, its own check says so
        return values
    fixed = protocol.data_fields()
    lines = protocol.differences({"detector": protocol.detector}, values)
    lines += [f"data.{line}" for line in protocol.differences(fixed, data)]
    _refuse(protocol, lines)
    if "dataset" not in fixed and "dataset" not in data:
        raise ValueError(f"{protocol.name} needs data.dataset: {protocol.data}")
    # The resolution stays as given: None is the model's own, and the run is named by what is given.
    filled = {name: value for name, value in fixed.items() if name != "resolution"}
    return {"detector": protocol.detector, **values, "data": {**filled, **data}}


def require_resolution(protocol: str | None, resolution: int) -> None:
    """Checks that images are measured at their protocol's resolution, where they have a protocol.

    Raises:
        ProtocolError: they are not.

    """
    if protocol is None:
        return
    wanted = protocol_named(protocol).resolution
    if resolution != wanted:
        raise ProtocolError(
            f"The protocol {protocol} compares images of {wanted} pixels, and the model makes "
            f"{resolution}",
            fix="leave evaluate.protocol out, or take a model of that size",
        )


def _protocol_of(evaluate: Mapping[str, Any]) -> NamedProtocol | None:
    name = evaluate.get("protocol")
    if not isinstance(name, str):
        return None
    try:
        protocol = protocol_named(name)
    except ConfigError:  # the field's own check lists the choices
        return None
    if protocol.missing is not None:
        raise ValueError(f"the protocol {name} cannot be carried out: {protocol.missing}")
    return protocol


def _refuse(protocol: NamedProtocol, lines: list[str]) -> None:
    if lines:
        raise ValueError(
            f"this is not the protocol {protocol.name}: {'; '.join(lines)}. Leave these out, or "
            "leave evaluate.protocol out"
        )
