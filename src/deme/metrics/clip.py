"""CLIP as a detector: the projected embeddings of its vision tower, and those of captions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import ConfigError, ModelError, StorageError
from ..files import hash_bytes, hash_file, read_json
from .clip_preparation import SETTINGS_FILE, ClipPreparation
from .float32 import full_float32

CLIP_PREFIX = "clip:"
CONFIG_FILE = "config.json"
VISION_TYPES = ("clip", "clip_vision_model")
TEXT_TYPES = ("clip", "clip_text_model")
WHOLE_FILE = "model.safetensors"
SHARDS = "model-*-of-*.safetensors"
DOWNLOADED = (
    *(CONFIG_FILE, SETTINGS_FILE, WHOLE_FILE, SHARDS, f"{WHOLE_FILE}.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.json", "merges.txt"),
)
"""What is taken from the hub: never a pickle, never code."""


class ClipNetwork(nn.Module):
    """CLIP's vision tower with its projection and the preparation of its images.

    ``forward`` maps uint8 images ``(B, C, H, W)`` of any size, C in {1, 3}, to float32 embeddings
    ``(B, E)``. They are as the projection gives them, not scaled to length one: CMMD and the CLIP
    score do that themselves, and the Fréchet distance is taken of them as they are.
    """

    def __init__(self, tower: nn.Module, preparation: ClipPreparation) -> None:
        super().__init__()
        self.tower = tower
        self.preparation = preparation

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of uint8 images ``(B, C, H, W)``."""
        return self.tower(pixel_values=self.preparation(images)).image_embeds


@dataclass(frozen=True)
class LoadedClip:
    """A vision tower with its identity.

    Attributes:
        network: from images to embeddings.
        name: the last part of its folder's name or hub id.
        digest: SHA-256 of its weights file, or of the digests of its several files.
        dimensions: E, the length of an embedding.

    """

    network: ClipNetwork
    name: str
    digest: str
    dimensions: int


def load_clip(source: str) -> LoadedClip:
    """Load CLIP's vision tower, in float32.

    Args:
        source: a folder, or a hub id with an optional ``@revision``, of a whole CLIP model or of
            its vision tower with projection, with safetensors weights. The published CMMD uses
            ``openai/clip-vit-large-patch14-336``.

    Raises:
        ConfigError: neither a folder nor a model that could be fetched.
        ModelError: another kind of model, or one without safetensors weights.
        StorageError: a file cannot be read.

    """
    from transformers import CLIPVisionModelWithProjection

    folder = _folder_of(source)
    files = _weight_files(folder, source)
    _require_type(folder, source, VISION_TYPES)
    tower = _load(CLIPVisionModelWithProjection, folder, source)
    preparation = ClipPreparation.of_folder(folder, tower.config.image_size)
    digests = [hash_file(file) for file in files]
    return LoadedClip(
        network=ClipNetwork(tower, preparation),
        name=_name_of(source),
        digest=digests[0] if len(digests) == 1 else hash_bytes(*map(str.encode, digests)),
        dimensions=tower.visual_projection.out_features,
    )


def clip_text_features(
    source: str,
    captions: Sequence[str],
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Float32 embeddings ``(N, E)`` on the CPU of captions, in the space of the images'.

    Args:
        source: as for :func:`load_clip`, of a whole CLIP model with its tokenizer.
        captions: N texts; what is beyond the model's length (77 tokens) is cut off.
        batch_size: a matter of memory alone.
        device: where to compute.

    Raises:
        ConfigError, ModelError, StorageError: as for :func:`load_clip`.

    """
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    folder, device = _folder_of(source), torch.device(device)
    _weight_files(folder, source)
    _require_type(folder, source, TEXT_TYPES)
    model = _load(CLIPTextModelWithProjection, folder, source).to(device)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"The CLIP model {source} has no tokenizer: {error}",
            fix="give the folder of a whole CLIP model, with its tokenizer's files",
        ) from error
    features = [torch.zeros(0, model.text_projection.out_features)]
    for start in range(0, len(captions), batch_size):
        tokens = tokenizer(
            list(captions[start : start + batch_size]),
            padding=True,
            truncation=True,
            max_length=model.config.max_position_embeddings,
            return_tensors="pt",
        ).to(device)
        with torch.inference_mode(), full_float32(device):
            features.append(model(**tokens).text_embeds.float().cpu())
    return torch.cat(features)


def _load(kind: Any, folder: Path, source: str) -> Any:
    """A part of CLIP with all of its weights from the folder, or an error."""
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The CLIP model {source} cannot be loaded ({' '.join(str(error).split())[:200]})",
            fix="fetch it again, or give another",
        ) from error
    if report["missing_keys"]:
        raise ModelError(
            f"The CLIP model {source} lacks {len(report['missing_keys'])} weights, such as "
            f"{min(report['missing_keys'])}",
            fix="give a whole CLIP model, or a part of it with its projection",
        )
    return model.requires_grad_(False).eval()


def _folder_of(source: str) -> Path:
    local = Path(source).expanduser()
    if local.is_dir():
        return local
    name, _, revision = source.partition("@")
    if not name or name.startswith((".", "~", "/")) or name.count("/") > 1 or local.is_file():
        raise ConfigError(
            f"There is no CLIP model in {source!r}",
            fix="give clip:<folder> or clip:<hub id>, of a model that save_pretrained wrote",
        )
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=list(DOWNLOADED))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{name!r} is neither a folder here nor a CLIP model that could be fetched from the "
            f"hub ({type(error).__name__}: {reason})",
            fix="check the name and the network, or give the path of a local folder",
        ) from error
    return Path(found)


def _name_of(source: str) -> str:
    local = Path(source).expanduser()
    return local.resolve().name if local.is_dir() else Path(source.partition("@")[0]).name


def _weight_files(folder: Path, source: str) -> list[Path]:
    whole = folder / WHOLE_FILE
    files = [whole] if whole.is_file() else sorted(folder.glob(SHARDS))
    if not files:
        raise ModelError(
            f"The CLIP model {source} has no safetensors weights",
            fix="name a revision that has them (clip:<hub id>@refs/pr/<number>), or load the model "
            "yourself and save_pretrained it to a folder",
        )
    return files


def _require_type(folder: Path, source: str, types: Sequence[str]) -> None:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise StorageError(f"The CLIP model {source} has no {CONFIG_FILE}", fix="fetch it again")
    config = read_json(path)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in types:
        raise ModelError(f"{source} is a {kind!r} and not a CLIP model", choices=types)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers neither draws bars nor lists the weights of CLIP's other half."""
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
