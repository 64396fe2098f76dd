"""Where a tensor sits in its network, read off the names of its modules.

==========================  ====================================================================
:class:`TensorPlace`        component, block, section, depth and kind of layer of one tensor
:func:`places_of`           the places of all tensors of a component
:mod:`.network_blocks`      finds the blocks by comparing names
:mod:`.forward_order`       their sections, and the order in which a forward pass meets them
:mod:`.layer_kinds`         attention, resnet, norm, …
==========================  ====================================================================
"""

from .layer_kinds import LAYER_KINDS, LayerKind, layer_kind
from .tensor_place import TensorPlace, places_of

__all__ = ["LAYER_KINDS", "LayerKind", "TensorPlace", "layer_kind", "places_of"]
