"""A finished tiny run, shared by the tests of a session."""

from __future__ import annotations

import pytest

from deme.report import build_report, write_model_card
from deme.runs import RunContext, run_job
from integration.tiny_run import context_of


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A finished tiny run; tests must not change it."""
    context = context_of(tmp_path_factory.mktemp("finished"))
    run_job(context)
    write_model_card(context.store.path)
    build_report(context.store.path)
    return context
