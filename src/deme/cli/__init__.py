"""The command line: one thin file per verb; no logic here."""

from .app import app, main

__all__ = ["app", "main"]
