"""Hashes of weights: over names, dtypes, shapes and bytes, made while the tensors stream by.

XXH3 with 128 bits runs at the speed of memory. It tells whether weights are the same ones; it is
no protection against someone who wants two to collide.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import xxhash
from torch import Tensor

from ...errors import StorageError
from .contract import DeltaSource, ModelSource, Source, TensorInfo, WeightSource

PREFIX = "xxh3-128:"
_CHUNK = 2**22


class TensorDigests:
    """Hashes tensors that come in blocks.

    Blocks of one tensor come in their order, from one thread at a time; different tensors may come
    from different threads, in any order.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, xxhash.xxh3_128] = {}
        self._adding = threading.Lock()

    def update(self, name: str, block: Tensor) -> None:
        """Takes the next elements of a tensor, as they are stored."""
        with self._adding:
            found = self._hashes.setdefault(name, xxhash.xxh3_128())
        if block.numel():
            found.update(block.contiguous().flatten().view(torch.uint8).numpy().data)

    def combined(self, layout: Mapping[str, TensorInfo]) -> str:
        """The hash of all tensors of ``layout``, each of which was seen whole.

        Raises:
            KeyError: a tensor was not seen.

        """
        whole = xxhash.xxh3_128()
        for name, info in sorted(layout.items()):
            own = self._hashes[name] if info.numel else xxhash.xxh3_128()
            whole.update(repr((name, str(info.dtype), tuple(info.shape))).encode())
            whole.update(own.digest())
        return PREFIX + whole.hexdigest()


def digest_source(source: Source) -> str:
    """The hash of a component: of its tensors, or of the bytes of an adapter's files.

    Raises:
        StorageError: a file cannot be read.

    """
    if isinstance(source, DeltaSource):
        return _digest_files(source.files)
    return digest_weights(source)


def digest_weights(source: WeightSource) -> str:
    """The hash of weights; what :class:`TensorDigests` gives for the same tensors."""
    digests = TensorDigests()
    for name in source.layout:
        digests.update(name, source.read(name))
    return digests.combined(source.layout)


def digest_model(model: ModelSource) -> str:
    """The hash of all of a model's components."""
    return combine_digests({n: digest_source(source) for n, source in model.components.items()})


def combine_digests(digests: Mapping[str, str]) -> str:
    """One hash of several, each with its name; their order does not count."""
    whole = xxhash.xxh3_128()
    for name, digest in sorted(digests.items()):
        whole.update(repr((name, digest)).encode())
    return PREFIX + whole.hexdigest()


def _digest_files(files: Iterable[Path]) -> str:
    found: dict[str, str] = {}
    for index, file in enumerate(files):
        hashed = xxhash.xxh3_128()
        try:
            with file.open("rb") as opened:
                while chunk := opened.read(_CHUNK):
                    hashed.update(chunk)
        except OSError as error:
            raise StorageError(f"Cannot read {file}: {error.strerror}") from error
        found[str(index)] = hashed.hexdigest()
    return combine_digests(found)
