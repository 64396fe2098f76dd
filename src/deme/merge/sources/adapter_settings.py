"""What an adapter's configuration says of its scales, and which configurations are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...files import read_json
from .adapter_deltas import Scale

CONFIG_FILE = "adapter_config.json"
METADATA_KEY = "lora_adapter_metadata"
"""Under this key diffusers keeps PEFT's configuration in a file's metadata."""
_KINDS = ("LORA", "LOHA", "LOKR")
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that take something out of the base's weights before training."""
_REFUSED = (
    *("layer_replication", "trainable_token_indices", "alora_invocation_tokens", "use_qalora"),
    *("target_parameters", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config"),
    "fan_in_fan_out",
)


@dataclass(frozen=True)
class AdapterSettings:
    """PEFT's configuration of an adapter, where there is one."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Empty where the file says all itself, as kohya's do."""

    def scale(self, module: str, alpha: float | None) -> Scale:
        """How strongly a module's product counts.

        Args:
            module: the module's name in the model.
            alpha: what the file gives for it, which goes before the configuration.

        Raises:
            ModelError: values of other types than PEFT writes.

        """
        try:
            if alpha is None:
                alpha = self._pattern("alpha_pattern", module)
            if alpha is None:
                alpha = self.values.get("lora_alpha", self.values.get("alpha"))
            rank = self._pattern("rank_pattern", module) or self.values.get("r")
            return Scale(
                None if alpha is None else float(alpha),
                None if rank is None else int(rank),
                bool(self.values.get("use_rslora")),
            )
        except (AttributeError, TypeError, ValueError, re.error) as error:
            raise ModelError(f"The adapter's settings are damaged ({error})") from error

    def _pattern(self, key: str, module: str) -> Any:
        for pattern, value in (self.values.get(key) or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern})", module):
                return value
        return None


def read_settings(config: Path) -> AdapterSettings:
    """The settings in PEFT's ``adapter_config.json``.

    Raises:
        ModelError: an adapter whose effect is not a change of weights alone, or of a kind that is
            not read.
        StorageError: the configuration is not valid JSON.

    """
    values = read_json(config)
    if not isinstance(values, dict):
        raise ModelError(f"{config} is not an adapter's configuration: it holds no JSON object")
    _require_known(values, str(config))
    return AdapterSettings(values)


def read_component_settings(
    metadata: Mapping[str, str], component: str, origin: str
) -> AdapterSettings:
    """The settings that diffusers keeps in a file's metadata for one component.

    Raises:
        ModelError: as :func:`read_settings`.

    """
    try:
        values = json.loads(metadata.get(METADATA_KEY, "{}"))
    except ValueError as error:
        raise ModelError(f"The metadata of {origin} is damaged: {error}") from error
    start = f"{component}."
    if not isinstance(values, dict):
        values = {}
    own = {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}
    _require_known(own, origin)
    return AdapterSettings(own)


def _require_known(values: Mapping[str, Any], origin: str) -> None:
    kind = str(values.get("peft_type", _KINDS[0])).rpartition(".")[2]
    fix = "merge it into its base with PEFT, and give the result"
    if kind not in _KINDS:
        raise ModelError(f"{origin}: adapters of type {kind} are not read", choices=_KINDS, fix=fix)
    start = str(values.get("init_lora_weights", "")).lower()
    if start.startswith(_CHANGED_BASE):
        raise ModelError(
            f"{origin} began with init_lora_weights={start}, which changed the base's weights too",
            fix="save it with path_initial_model_for_weight_conversion, which gives a plain LoRA",
        )
    for key in _REFUSED:
        if values.get(key):
            raise ModelError(f"{origin} uses {key}, which is not read", fix=fix)
