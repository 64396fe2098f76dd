"""What a run shows for itself; every number comes from the run folder's files.

===========================  ===================================================================
:func:`build_report`         ``report.html``: one file that needs no network
:func:`write_model_card`     ``merged/README.md``, with the hub's front matter
:func:`results_table`        the arms as a table for a terminal
:func:`results_markdown`     the same in Markdown
:func:`verdict`              whether the merge is better, in plain words
===========================  ===================================================================

Below them: :mod:`.run_folder` reads the files, :mod:`.evidence` is ``metrics.json`` with types,
:mod:`.arm_table` is the table before anyone draws it, :mod:`.numbers` writes numbers with their
deviations, :mod:`.figures` and :mod:`.pictures` make the page's figures, :mod:`.page` puts
together what the template shows.
"""

from .card import write_model_card
from .console import results_table
from .evidence import Evidence
from .html import build_report
from .markdown import results_markdown
from .verdict import Verdict, verdict

__all__ = [
    "Evidence",
    "Verdict",
    "build_report",
    "results_markdown",
    "results_table",
    "verdict",
    "write_model_card",
]
