"""The empirical diagonal Fisher information of a denoiser's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from .forwards import Forward
from .sums import empty_sum, widened


def diagonal_fisher(network: nn.Module, forwards: Iterable[Forward]) -> dict[str, Tensor]:
    """``F = E[(∇_θ log p(y | x_t, t))²]`` element by element, float64.

    The network's output is the mean of a Gaussian of unit variance over what it should predict,
    ``y`` (the noise of an ε-prediction): ``−log p = ½‖y − ε_θ(x_t, t)‖² + const``, a sum over the
    elements of a sample. ``y`` is the one that was drawn, which makes this the empirical Fisher;
    the paper's has ``y`` drawn from the model (arXiv:2111.09832, Eq. 3). Another variance would
    multiply the whole by a number.

    Gradients are of one sample each: the square of a batch's mean gradient is another thing.
    A tensor without a gradient (a buffer, a weight that is not used) has ``F = 0``.

    Args:
        network: as it is evaluated, without dropout; its modes are as before in the end.
        forwards: each on one sample.

    """
    state = network.state_dict(keep_vars=True)
    fisher = {
        name: empty_sum(tensor.shape, tensor.device)
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    count = 0
    with _differentiable(network):
        parameters = {
            name: tensor
            for name, tensor in state.items()
            if isinstance(tensor, nn.Parameter) and tensor.is_floating_point()
        }
        for forward in forwards:
            gradients = torch.autograd.grad(forward(), list(parameters.values()), allow_unused=True)
            count += 1
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    wide = widened(gradient, fisher[name])
                    fisher[name].addcmul_(wide, wide)
    return {name: tensor / max(1, count) for name, tensor in fisher.items()}


@contextlib.contextmanager
def _differentiable(network: nn.Module) -> Iterator[None]:
    """Evaluation mode with all parameters differentiable, for the time of the block."""
    training = {module: module.training for module in network.modules()}
    frozen = [p for p in network.parameters() if p.is_floating_point() and not p.requires_grad]
    network.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module, mode in training.items():
            module.training = mode
