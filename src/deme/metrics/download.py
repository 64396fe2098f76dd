"""A file from an https address: downloaded once, kept whole or not at all."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import ConfigError, ModelError, StorageError
from ..files import atomic_path, hash_bytes

TIMEOUT_SECONDS = 60
BLOCK_BYTES = 1 << 20


def detector_cache() -> Path:
    """``deme/detectors`` in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "deme" / "detectors"


def fetch_once(url: str, folder: Path | None = None) -> Path:
    """Give the local copy of ``url``, downloading it on the first call alone.

    The copy's name holds a hash of the address, so two addresses never share one. Only a complete
    zip archive (what every TorchScript file is) enters the cache.

    Args:
        url: an https address.
        folder: where copies are kept; None: :func:`detector_cache`.

    Raises:
        ConfigError: the address is not https.
        StorageError: the download fails, ends early or cannot be written.
        ModelError: what came is not a TorchScript file (an error page, say).

    """
    if urllib.parse.urlparse(url).scheme != "https":
        raise ConfigError(f"The detector address {url!r} is not https", fix="give an https URL")
    name = Path(urllib.parse.urlparse(url).path).name or "detector.pt"
    target = (folder or detector_cache()) / f"{hash_bytes(url.encode())[:16]}-{name}"
    if target.is_file():
        return target
    with atomic_path(target) as partial:
        _download(url, partial)
        if not zipfile.is_zipfile(partial):
            raise ModelError(
                f"What {url} sent is not a TorchScript file",
                fix="open the address in a browser; download by hand and give the file's path",
            )
    return target


def _download(url: str, partial: Path) -> None:
    with _network_errors(url):
        response = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)
    with response, partial.open("wb") as file:
        if urllib.parse.urlparse(response.geturl()).scheme != "https":
            raise StorageError(f"{url} leads to {response.geturl()}, which is not https")
        while block := _read(response, url):
            file.write(block)
        expected = response.headers.get("Content-Length")
        received = file.tell()
    if expected is not None and received != int(expected):
        raise StorageError(
            f"The download of {url} ended after {received} of {expected} bytes",
            fix="repeat the command",
        )


def _read(response: IO[bytes], url: str) -> bytes:
    with _network_errors(url):
        return response.read(BLOCK_BYTES)


@contextlib.contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Tells the network's errors, which are OSErrors too, from the disk's."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise StorageError(
            f"Cannot download {url}: {error}",
            fix="check the address and the network, or download by hand and give the file's path",
        ) from error
