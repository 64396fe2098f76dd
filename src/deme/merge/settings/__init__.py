"""What a recipe may give for a parameter, and what that means for one tensor.

==========================  ====================================================================
:data:`Setting`             a number, a truth value, a word, a gradient over depth, or rules
:class:`Rule`               a value for the tensors that meet its conditions
:func:`resolve`             the value for one tensor
:func:`check_setting`       that every rule does something
:func:`parse_setting`       the command line's short form: ``0.3,attention=0.1,down=0:0.5:1``
==========================  ====================================================================
"""

from .rules import Rule
from .setting import Setting, check_setting, resolve, resolve_number
from .short_setting import format_setting, parse_setting

__all__ = [
    "Rule",
    "Setting",
    "check_setting",
    "format_setting",
    "parse_setting",
    "resolve",
    "resolve_number",
]
