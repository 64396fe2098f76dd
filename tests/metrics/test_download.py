import io
import urllib.error
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from deme.errors import ConfigError, ModelError, StorageError
from deme.metrics.download import detector_cache, fetch_once

URL = "https://example.org/models/inception.pt?download=1"


class Response(io.BytesIO):
    """An answer of a web server."""

    def __init__(self, content: bytes, length: int | None, url: str = URL) -> None:
        super().__init__(content)
        self.headers = Message()
        if length is not None:
            self.headers["Content-Length"] = str(length)
        self._url = url

    def geturl(self) -> str:
        return self._url


class Server:
    """Answers every request alike, and counts them."""

    def __init__(
        self,
        content: bytes,
        length: int | None = None,
        url: str = URL,
        error: Exception | None = None,
    ) -> None:
        self.requests = 0
        self._answer = (content, length, url)
        self._error = error

    def __call__(self, url: str, timeout: float) -> Response:
        self.requests += 1
        if self._error is not None:
            raise self._error
        return Response(*self._answer)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("code/model.py", "pass")
    return file.getvalue()


def serve(monkeypatch: pytest.MonkeyPatch, server: Server) -> Server:
    monkeypatch.setattr("urllib.request.urlopen", server)
    return server


def test_a_url_is_downloaded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = archive()
    server = serve(monkeypatch, Server(content, len(content)))
    first, second = fetch_once(URL, tmp_path), fetch_once(URL, tmp_path)
    assert first == second and first.read_bytes() == content
    assert first.name.endswith("-inception.pt")
    assert server.requests == 1


def test_two_addresses_with_one_file_name_are_two_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(monkeypatch, Server(archive()))
    other = "https://example.com/inception.pt"
    assert fetch_once(URL, tmp_path) != fetch_once(other, tmp_path)


@pytest.mark.parametrize(
    ("server", "error", "message"),
    [
        (Server(archive(), 10_000), StorageError, "ended after .* of 10000 bytes"),
        (Server(archive()[:-5], None), ModelError, "not a TorchScript file"),
        (Server(b"<html>404</html>", 16), ModelError, "not a TorchScript file"),
        (Server(archive(), url="http://example.org/x"), StorageError, "not https"),
        (Server(b"", error=urllib.error.URLError("no route")), StorageError, "no route.*by hand"),
        (Server(b"", error=TimeoutError("timed out")), StorageError, "Cannot download"),
    ],
    ids=["short", "truncated", "page", "insecure", "offline", "slow"],
)
def test_a_failed_download_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: Server,
    error: type[Exception],
    message: str,
) -> None:
    serve(monkeypatch, server)
    with pytest.raises(error, match=message):
        fetch_once(URL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_https_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not https"):
        fetch_once("http://example.org/inception.pt", tmp_path)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert detector_cache() == tmp_path / "deme" / "detectors"
