"""Feature networks of the transformers library: a folder or a hub id, safetensors weights only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import ConfigError, ModelError, StorageError
from ..files import hash_bytes, hash_file, read_json
from .preparation import SETTINGS_FILE

CONFIG_FILE = "config.json"
WHOLE_FILE = "model.safetensors"
SHARDS = "model-*-of-*.safetensors"
DOWNLOADED = (
    *(CONFIG_FILE, SETTINGS_FILE, WHOLE_FILE, SHARDS, f"{WHOLE_FILE}.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.json", "merges.txt"),
)
"""What is taken from the hub: never a pickle, never code."""


@dataclass(frozen=True)
class PretrainedFolder:
    """The folder of a model that ``save_pretrained`` wrote, the user's own or fetched from the hub.

    Attributes:
        path: the folder.
        source: what the user wrote: a folder, or a hub id with an optional ``@revision``.
        family: what it should be, for messages: ``CLIP``, say.
        prefix: how its detectors are written, for messages: ``clip``, say.

    """

    path: Path
    source: str
    family: str
    prefix: str

    @classmethod
    def find(cls, source: str, *, family: str, prefix: str) -> PretrainedFolder:
        """Find the folder, fetching it from the hub if it is not here.

        Raises:
            ConfigError: neither a folder nor a model that could be fetched.

        """
        local = Path(source).expanduser()
        if local.is_dir():
            return cls(local, source, family, prefix)
        name, _, revision = source.partition("@")
        if not name or name.startswith((".", "~", "/")) or name.count("/") > 1 or local.is_file():
            raise ConfigError(
                f"There is no {family} model in {source!r}",
                fix=f"give {prefix}:<folder> or {prefix}:<hub id>, of a model that "
                "save_pretrained wrote",
            )
        return cls(_fetched(name, revision or None, family), source, family, prefix)

    @property
    def name(self) -> str:
        """The last part of the folder's name or of the hub id."""
        local = Path(self.source).expanduser()
        return local.resolve().name if local.is_dir() else Path(self.source.partition("@")[0]).name

    @cached_property
    def weight_files(self) -> list[Path]:
        """The safetensors files; empty where there are none."""
        whole = self.path / WHOLE_FILE
        return [whole] if whole.is_file() else sorted(self.path.glob(SHARDS))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, or of the digests of the several files."""
        digests = [hash_file(file) for file in self.weight_files]
        return digests[0] if len(digests) == 1 else hash_bytes(*map(str.encode, digests))

    def require_type(self, types: Sequence[str]) -> None:
        """Refuses a model of another kind, by ``model_type`` of its ``config.json``.

        Raises:
            StorageError: there is no ``config.json``.
            ModelError: it is of another kind.

        """
        path = self.path / CONFIG_FILE
        if not path.is_file():
            raise StorageError(
                f"The {self.family} model {self.source} has no {CONFIG_FILE}", fix="fetch it again"
            )
        config = read_json(path)
        kind = config.get("model_type") if isinstance(config, dict) else None
        if kind not in types:
            raise ModelError(
                f"{self.source} is a {kind!r} and not a {self.family} model", choices=types
            )

    def load(self, kind: Any) -> Any:
        """Load a class of transformers with all of its weights, float32, frozen, in evaluation.

        Raises:
            ModelError: weights that are no safetensors, missing, truncated or of other shapes.

        """
        if not self.weight_files:
            raise ModelError(
                f"The {self.family} model {self.source} has no safetensors weights",
                fix=f"name a revision that has them ({self.prefix}:<hub id>@refs/pr/<number>), or "
                "load the model yourself and save_pretrained it to a folder",
            )
        try:
            with _quiet():
                model, report = kind.from_pretrained(
                    self.path,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"The {self.family} model {self.source} cannot be loaded "
                f"({' '.join(str(error).split())[:200]})",
                fix="fetch it again, or give another",
            ) from error
        if report["missing_keys"]:
            raise ModelError(
                f"The {self.family} model {self.source} lacks {len(report['missing_keys'])} "
                f"weights, such as {min(report['missing_keys'])}",
                fix=f"give a whole {self.family} model",
            )
        return model.requires_grad_(False).eval()


def _fetched(name: str, revision: str | None, family: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(name, revision=revision, allow_patterns=list(DOWNLOADED))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{name!r} is neither a folder here nor a {family} model that could be fetched from "
            f"the hub ({type(error).__name__}: {reason})",
            fix="check the name and the network, or give the path of a local folder",
        ) from error
    return Path(found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers neither draws bars nor lists the weights of a model's other half."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
