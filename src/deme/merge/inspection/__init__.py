"""What a model holds, and what experts changed of it.

============================  ==================================================================
:func:`inspect_models`        sums over all tensors of a base and its experts, one at a time
:func:`inspection_tables`     for people
:func:`inspection_values`     for machines
============================  ==================================================================
"""

from .inspecting import Inspection, inspect_models
from .sums import ElementSums
from .tables import inspection_tables
from .values import inspection_values

__all__ = [
    "ElementSums",
    "Inspection",
    "inspect_models",
    "inspection_tables",
    "inspection_values",
]
