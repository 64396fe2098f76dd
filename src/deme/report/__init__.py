"""What a run shows for itself; every number comes from the run folder's files.

===========================  ===================================================================
:func:`build_report`         ``report.html``: one file that needs no network
:func:`write_model_card`     ``merged/README.md``, with the hub's front matter
:func:`results_table`        the arms as a table for a terminal
:func:`results_markdown`     the same in Markdown
:func:`search_lines`         a search's outcome as lines for a terminal
:func:`verdict`              whether the merge is better, in plain words
:func:`build_comparison`     a comparison's ``report.html``, tables and picture
:func:`comparison_table`     a comparison's arms as a table for a terminal
===========================  ===================================================================

Below them: :mod:`.run_folder` reads the files, :mod:`.evidence` is ``metrics.json`` with types,
:mod:`.arm_table` is the table before anyone draws it, :mod:`.numbers` writes numbers with their
deviations, :mod:`.figures`, :mod:`.search_figures` and :mod:`.pictures` make the page's figures,
:mod:`.search_text` says in words what a search did, :mod:`.glance` is what a reader sees first,
:mod:`.page` puts together what the template shows and :mod:`.sections` leaves out what is absent.
"""

from .card import write_model_card
from .comparison import build_comparison, comparison_table
from .console import results_table
from .evidence import Evidence
from .html import build_report
from .markdown import results_markdown
from .search_lines import search_lines
from .verdict import Verdict, verdict

__all__ = [
    "Evidence",
    "Verdict",
    "build_comparison",
    "build_report",
    "comparison_table",
    "results_markdown",
    "results_table",
    "search_lines",
    "verdict",
    "write_model_card",
]
