"""A finished run's folder, for the tests of everything that reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report.fake_run import FakeRun

RunWriter = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> RunWriter:
    """Writes a finished run's folder; keywords as for :class:`FakeRun`."""

    def write(**settings: Any) -> Path:
        return FakeRun(**settings).write(tmp_path / "runs" / "digits-deme-1a2b3c")

    return write
