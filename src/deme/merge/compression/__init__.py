"""Compressed experts: N of them and a base take little more room than one model.

==========================  ====================================================================
:func:`compress_expert`     writes an expert's differences from its base into one file
:func:`open_compressed`     the components in such a file, as sources of differences for a merge
:func:`open_for_base`       the same as an expert of a base
:func:`expand_expert`       the expert's own weights again, from its base and the file
:mod:`.exact`               every bit: differences of integers, entropy coded
:mod:`.approximate`         a stated error: low-rank parts and quantized remains
:mod:`.choosing`            which of them takes fewest bytes
:mod:`.metadata`            what the file says of itself
==========================  ====================================================================
"""

from .component import CompressedComponent
from .expanding import expand_expert
from .metadata import CompressedExpert
from .opening import is_compressed, open_compressed, open_for_base
from .report import ComponentReport, CompressionReport
from .writing import compress_expert

__all__ = [
    "ComponentReport",
    "CompressedComponent",
    "CompressedExpert",
    "CompressionReport",
    "compress_expert",
    "expand_expert",
    "is_compressed",
    "open_compressed",
    "open_for_base",
]
