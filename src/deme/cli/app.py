"""The verbs, and what happens to errors: one clear message and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import typer

from ..errors import DemeError

app = typer.Typer(
    name="deme",
    help="Make a pretrained diffusion model better at no inference cost.\n\n"
    "`deme run digits` shows the whole job on the bundled default in a few minutes; "
    "`deme init my.yaml` writes a commented configuration for your own model and images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)


INTERRUPTED = 130
"""Typer's exit code after Ctrl-C."""


def main() -> None:
    """Entry point of ``deme``. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    _quiet_libraries()
    from . import verbs  # noqa: F401  # registers the verbs on the app

    try:
        app(standalone_mode=True)
    except DemeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("interrupted; the same command resumes", file=sys.stderr)
        raise


def _quiet_libraries() -> None:
    """Libraries' own bars and notices would bury what matters; DEME_DEBUG=1 shows them."""
    if os.environ.get("DEME_DEBUG"):
        return
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
