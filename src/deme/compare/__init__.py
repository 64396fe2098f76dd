"""`deme compare`: every arm under one protocol, at one budget, in one table.

- :mod:`.spec`: :class:`CompareSpec`, the configuration; :mod:`.loading`: from YAML to it
- :mod:`.arms`: the kinds of arms, one a file
- :mod:`.contender`: :class:`Contender`, what stands for an arm; :class:`Setting`, what is tuned
- :mod:`.models`: descriptions of models that workers can open
- :mod:`.tasks`: units of work
- :mod:`.comparison`: :class:`Comparison`, how the arms come to be; :mod:`.tuning`
- :mod:`.drawing`: images of the arms, as features that are kept
- :mod:`.costs`, :mod:`.curve`, :mod:`.intervals`: what arms cost, quality against time, paired
  differences
- :mod:`.record`: ``compare.json``; :mod:`.job`: the whole
- :mod:`.joining`: several comparisons in one table, where their protocols are the same
"""

from .comparison import Comparison
from .contender import Contender, Cost, Setting
from .job import open_comparison, run_comparison
from .joining import join_folders, join_records, read_records
from .loading import list_comparisons, load_comparison
from .spec import CompareSpec

__all__ = [
    "CompareSpec",
    "Comparison",
    "Contender",
    "Cost",
    "Setting",
    "join_folders",
    "join_records",
    "list_comparisons",
    "load_comparison",
    "open_comparison",
    "read_records",
    "run_comparison",
]
