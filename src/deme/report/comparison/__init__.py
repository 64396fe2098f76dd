"""What a comparison shows for itself; every number comes from ``compare.json``.

===========================  ===================================================================
:func:`build_comparison`     report.html, the tables as Markdown, LaTeX and CSV, and a picture
:func:`comparison_table`     the arms as a table for a terminal, also while it fills
:func:`comparison_verdict`   whether the reference is first, in plain words
:func:`read_comparison`      ``compare.json`` with types
===========================  ===================================================================

Below them: :mod:`.arm_record` is one arm with types, :mod:`.standing` where the reference stands
on a detector, :mod:`.tables` and :mod:`.costs` are the tables before anyone draws them,
:mod:`.tuning` says how the arms were tuned, :mod:`.curve_table` and :mod:`.figures` show quality
against time, :mod:`.samples` the images, :mod:`.page` puts together what the template shows, and
:mod:`.quantities` writes numbers.
"""

from .build import build_comparison
from .console import comparison_table
from .record import ComparisonRecord, read_comparison
from .verdict import comparison_verdict

__all__ = [
    "ComparisonRecord",
    "build_comparison",
    "comparison_table",
    "comparison_verdict",
    "read_comparison",
]
