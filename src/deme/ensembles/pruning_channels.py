"""Which channels of a network hang together, and which of them matter least.

Both through torch-pruning (Fang et al., "DepGraph: Towards Any Structural Pruning",
arXiv:2301.12900): layers whose channels meet in a sum, a norm or an attention lose them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MissingExtraError, ModelError

PRUNED = (nn.Conv2d, nn.Linear, nn.GroupNorm)
"""Layers that have channels."""


@dataclass(frozen=True)
class Member:
    """A layer's share in a group.

    Attributes:
        module: its name in the network.
        axis: 0 for the channels that it gives, 1 for those that it takes.
        channels: pairs of its channel and the group's.

    """

    module: str
    axis: int
    channels: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are in a network or are not, in all of its layers at once.

    Attributes:
        root: the layer that gives them, by its name.
        width: how many.
        members: all layers that give, take or norm them.
        coupled: torch-pruning's own group, for its importances.

    """

    root: str
    width: int
    members: tuple[Member, ...]
    coupled: Any


def channel_groups(
    network: nn.Module, call: Callable[[nn.Module], Tensor], widths: Mapping[str, int]
) -> list[ChannelGroup]:
    """The groups of a network that are to become narrower.

    Args:
        network: its parameters must require gradients.
        call: one call of it on an example.
        widths: by layer: how many channels it will give.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        ModelError: torch-pruning cannot follow the network.

    """
    tp = _torch_pruning()
    names = {module: name for name, module in network.named_modules()}
    keep = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.shape[0] == widths.get(name)
    ]
    try:
        graph = tp.DependencyGraph().build_dependency(
            network, example_inputs=None, forward_fn=lambda model, _: call(model)
        )
        coupled = list(graph.get_all_groups(ignored_layers=keep))
    except (ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"torch-pruning cannot follow this network: {' '.join(str(error).split())[:300]}",
            fix="take a U-Net of diffusers' plain down, up and attention blocks",
        ) from error
    return [_described(graph, group, names) for group in coupled]


def _described(graph: Any, group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup:
    return ChannelGroup(
        root=names[group[0].dep.target.module],
        width=len(group[0].idxs),
        members=tuple(_members(graph, group, names)),
        coupled=group,
    )


def _members(graph: Any, group: Any, names: Mapping[nn.Module, str]) -> Iterable[Member]:
    for item in group.items:
        module = item.dep.target.module
        if isinstance(module, PRUNED):
            axis = 0 if graph.is_out_channel_pruning_fn(item.dep.handler) else 1
            yield Member(names[module], axis, tuple(zip(item.idxs, item.root_idxs, strict=True)))


def taylor_scores(
    network: nn.Module, groups: Iterable[ChannelGroup], losses: Iterable[Tensor]
) -> dict[str, Tensor]:
    """How much the loss would change without a channel: ``Σ |w · ∂L/∂w|`` over its weights.

    First order (Molchanov et al., arXiv:1906.10771), for each batch, summed over the batches: at a
    minimum the mean gradient is 0, and says nothing.

    Args:
        network: whose loss it is; its gradients are left at None.
        groups: from :func:`channel_groups`.
        losses: one a batch; each is differentiated before the next is asked for.

    Returns:
        By the groups' roots, ``(width,)`` each.

    """
    importance = _torch_pruning().importance.GroupTaylorImportance(
        group_reduction="sum", normalizer=None, bias=True, target_types=list(PRUNED)
    )
    groups = list(groups)
    scores = {group.root: torch.zeros(group.width, dtype=torch.float64) for group in groups}
    for loss in losses:
        network.zero_grad(set_to_none=True)
        loss.backward()
        for group in groups:
            scores[group.root] += importance(group.coupled).double().cpu()
    network.zero_grad(set_to_none=True)
    return scores


def best_channels(scores: Tensor, keep: int, parts: int) -> Tensor:
    """The channels that stay, int64 ``(keep,)``, in order: whole parts with the largest sums.

    Args:
        scores: ``(width,)``.
        keep: how many, a multiple of a part's size.
        parts: equal consecutive parts, such as a norm's groups or attention's heads.

    """
    size = len(scores) // parts
    best = scores.reshape(parts, size).sum(1).sort(descending=True, stable=True).indices
    chosen = best[: keep // size].sort().values
    return torch.arange(len(scores)).reshape(parts, size)[chosen].flatten()


def keep_channels(
    weights: Mapping[str, Tensor],
    groups: Iterable[ChannelGroup],
    kept: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The weights of the narrower network.

    Args:
        weights: of the wider one, by name.
        groups: from :func:`channel_groups`.
        kept: by the groups' roots, what stays; see :func:`best_channels`.

    """
    masks: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        stays = torch.zeros(group.width, dtype=torch.bool)
        stays[kept[group.root]] = True
        for member in group.members:
            weight = weights[f"{member.module}.weight"]
            everything = torch.ones(weight.shape[member.axis], dtype=torch.bool)
            mask = masks.setdefault((member.module, member.axis), everything)
            own, common = (torch.tensor(side) for side in zip(*member.channels, strict=True))
            mask[own] &= stays[common]
    narrow = dict(weights)
    for (module, axis), mask in masks.items():
        for name in (f"{module}.weight", f"{module}.bias"):
            if name in narrow and narrow[name].dim() > axis:
                chosen = mask.nonzero().flatten().to(narrow[name].device)
                narrow[name] = narrow[name].index_select(axis, chosen)
    return narrow


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingExtraError("Pruning", "torch-pruning", "baselines") from error
    return torch_pruning
