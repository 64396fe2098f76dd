"""Derivatives of image features with respect to the merging weights, through the whole sampler."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..denoisers import Denoiser
from ..errors import ModelError
from ..generate import ImageRequest
from ..generate.images import initial_noise
from ..generate.sampler import sample_latents
from ..merge import StateDict, TaskVector
from ..metrics import Detector
from ..metrics.float32 import full_float32
from ..randomness import generator
from .functional_merge import FunctionalMerge


class FeatureSensitivities(NamedTuple):
    """Features of images and their derivatives.

    Attributes:
        features: float32 ``(n, D)``, as the evaluator's to rounding.
        derivatives: float32 ``(N, n, D)``: of each image's features with respect to each weight.

    """

    features: Tensor
    derivatives: Tensor


@torch.no_grad()
def feature_sensitivities(
    denoiser: Denoiser,
    base: StateDict,
    vectors: Sequence[TaskVector],
    weights: Sequence[float],
    request: ImageRequest,
    detector: Detector,
) -> FeatureSensitivities:
    """``∂(features of image n)/∂w_i`` for all N directions, by forward mode.

    Dual numbers go through sampler and detector, once for each weight. Each layer's tangent has
    two terms, of its input and of its weights, so a direction costs up to three sets of images.
    Central differences cost two and secants one (and one for all of them): this is for derivatives
    that must be exact, with no step to be chosen and no rounding divided by it.

    Images are quantised to 8 bits before the detector reads them. The features are those of the
    quantised images; their derivatives take the quantisation for the identity. On the bundled
    digits the mean features' derivatives are then within 2 % of differences without quantisation,
    while quantisation disturbs a central difference of step 0.02 by 19 %. Noise that a sampler
    adds at its steps is held fixed.

    Args:
        denoiser: gives network, sampler configuration and decoder; its weights are not changed.
        base: ``θ``.
        vectors: ``τ_i``.
        weights: ``w``, the point at which the derivatives are taken.
        request: the images; a batch takes about twice a plain batch's memory.
        detector: what makes features of them.

    Raises:
        ModelError: the network or the detector has an operation without forward mode.
        ConfigError, MismatchError: as for merging in memory.

    """
    merge = FunctionalMerge(denoiser, base, vectors)
    merged = merge.at(weights)
    size = request.sampler.sample_batch_size
    features, derivatives = [], []
    for start in range(0, request.count, size):
        part = range(start, min(start + size, request.count))
        draw = _drawing(denoiser, request, detector, part)
        with _forward_mode(denoiser, detector):
            pairs = [merge.derivative(merged, index, draw) for index in range(len(vectors))]
        features.append(pairs[0][0].float().cpu())
        derivatives.append(torch.stack([slope.float().cpu() for _, slope in pairs]))
    return FeatureSensitivities(torch.cat(features), torch.cat(derivatives, dim=1))


def _drawing(
    denoiser: Denoiser, request: ImageRequest, detector: Detector, part: Sequence[int]
) -> Callable[[], Tensor]:
    """From the network's weights, whatever they are now, to the features of these images."""
    # Inference mode would drop the tangents; this is the same loop outside of it.
    sample = inspect.unwrap(sample_latents)

    def draw() -> Tensor:
        noise = initial_noise(request.seed, part, denoiser.sample_shape)
        generators = [generator(request.seed, "sampler", index) for index in part]
        conditioning = denoiser.condition(labels=request.label_slice(part))
        x_0 = sample(denoiser, request.sampler, noise, conditioning, generators)
        with _StraightThrough():
            images = denoiser.decode(x_0)
        with full_float32(detector.device):
            return detector.network(images.to(detector.device))

    return draw


class _StraightThrough(TorchFunctionMode):
    """Rounding and the conversion to 8 bits: their values, with the identity's derivative.

    So a denoiser's own decoder is differentiated, whatever it is, and images stay floating-point.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        quantises = func in (torch.round, Tensor.round, Tensor.byte) or (
            func is Tensor.to and any(item is torch.uint8 for item in (*args, *kwargs.values()))
        )
        if not quantises:
            return func(*args, **kwargs)
        given = args[0]
        whole = func(*args, **kwargs).to(given.dtype)
        return whole.detach() + (given - given.detach())


@contextlib.contextmanager
def _forward_mode(denoiser: Denoiser, detector: Detector) -> Iterator[None]:
    """Says what to do where an operation has no forward mode."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, torch.jit.Error) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{denoiser.name} or the detector {detector.name!r} cannot be differentiated by "
            f"forward mode ({reason})",
            fix="use finite differences: features of sets drawn at w + h and w − h of each weight",
        ) from error
