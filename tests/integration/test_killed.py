"""Killed at any moment and restarted, a run ends with the bytes of one that was never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from deme.files import hash_tree
from integration.tiny_run import arguments, deme_process

KILLS = 10


def run_to_the_end(output: Path) -> float:
    """Runs the tiny job to its end; returns how long it took."""
    started = time.monotonic()
    process = deme_process("run", "digits", "-o", str(output), "--quiet", *arguments())
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return time.monotonic() - started


def result_of(output: Path) -> tuple[str, bytes]:
    """Hash of ``merged/`` with its card, and the bytes of ``metrics.json``."""
    (folder,) = output.glob("digits-*")
    return hash_tree(folder / "merged"), (folder / "metrics.json").read_bytes()


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    whole = run_to_the_end(tmp_path / "whole")
    expected = result_of(tmp_path / "whole")
    moments = random.Random(20_26)
    stages_cut: set[str] = set()
    for _ in range(KILLS):
        process = deme_process(
            "run", "digits", "-o", str(tmp_path / "killed"), "--quiet", *arguments()
        )
        try:
            process.wait(timeout=moments.uniform(0.35, 0.95) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        stages_cut |= {
            path.relative_to(tmp_path / "killed").parts[1]
            for path in (tmp_path / "killed").glob("digits-*/*")
        }
    assert {"work", "experts"} <= stages_cut  # the kills did fall into the work
    run_to_the_end(tmp_path / "killed")
    assert result_of(tmp_path / "killed") == expected
    (folder,) = (tmp_path / "killed").glob("digits-*")
    assert not list(folder.rglob(".partial-*"))
