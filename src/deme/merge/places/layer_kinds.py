"""What kind of layer a tensor belongs to, read from its name alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

LayerKind = Literal[
    "attention",
    "resnet",
    "norm",
    "feed_forward",
    "projection",
    "embedding",
    "resample",
    "other",
]
LAYER_KINDS: tuple[LayerKind, ...] = get_args(LayerKind)

_BY_PATH: tuple[tuple[LayerKind, str], ...] = (
    # CompVis' sequences have numbers where diffusers has names
    ("norm", r"(^|\.)(in_layers|out_layers|out)\.0$"),
    ("projection", r"(^|\.)out\.\d+$|^input_blocks\.0\.0$"),
    ("resample", r"^(input|output)_blocks\.\d+\.\d+\.(op|conv)$"),
    ("attention", r"(^|\.)attn(_?\d+)?\.proj_out$"),
    ("embedding", r"embedder\.mlp\.\d+$"),
)
"""Patterns of whole module paths, tried first."""

_BY_PART: tuple[tuple[LayerKind, str], ...] = (
    ("norm", r"norm|^ln(_|\d|$)|adaln|modulation|(^|_)mod$|scale_shift_table"),
    ("projection", r"^(proj|conv)_(in|out)(_\d+)?$|(_emb|_hid)_proj$|_projections?(_\d+)?$"),
    ("projection", r"^(post_)?quant_conv$|^emb_layers$|final_layer$"),
    ("attention", r"attn|attention|^to_(q|k|v|out)|^(q|k|v|qkv)(_proj)?$"),
    ("feed_forward", r"^ff(n)?(_|$)|feed_?forward|mlp|dense"),
    ("resample", r"downsample|upsample|resample"),
    ("resnet", r"resnet|^conv(\d|_shortcut)|nin_shortcut|^(in|out)_layers$|skip_connection"),
    ("embedding", r"emb|token|^shared$|^w[pt]e$|^(img|txt|time|vector|guidance)_in$"),
)
"""Patterns of one part of a module path, tried on the innermost part first."""


def layer_kind(path: Sequence[str], *, numbered: bool = False) -> LayerKind:
    """The kind of layer, from the parts of a tensor's name within its network.

    The innermost part that says something decides: ``attentions.0.norm`` is a norm,
    ``attn.to_q`` is attention, ``attentions.0.proj_in`` a projection.

    ================  ===========================================================================
    ``attention``     queries, keys, values and output of attention, fused or not, and its biases
    ``resnet``        the convolutions of residual blocks with their shortcuts
    ``norm``          normalisation everywhere, and what gives an adaptive one its scale and shift
                      (``norm1.linear``, ``adaln_single.linear``, ``scale_shift_table``)
    ``feed_forward``  the two layers of a transformer block, gated or not
    ``projection``    maps from one space into another: ``conv_in``, ``conv_out``, ``proj_in``,
                      ``proj_out``, ``time_emb_proj``, ``text_projection``, ``quant_conv``,
                      channel-wise projections
    ``embedding``     of time, class, position, patches, tokens and text, with their layers
    ``resample``      downsamplers and upsamplers
    ``other``         none of these
    ================  ===========================================================================

    Args:
        path: the parts of the name, from the block's on; ``weight`` or ``bias`` may end it.
        numbered: whether the first two parts are a list and a number, which tell the block and
            not the layer.

    """
    parts = [part.lower() for part in path]
    if len(parts) > 1 and parts[-1] in ("weight", "bias"):
        parts = parts[:-1]
    whole = ".".join(parts)
    for kind, pattern in _BY_PATH:
        if re.search(pattern, whole):
            return kind
    for part in reversed(parts[2:] if numbered else parts):
        for kind, pattern in _BY_PART:
            if re.search(pattern, part):
                return kind
    return "other"
