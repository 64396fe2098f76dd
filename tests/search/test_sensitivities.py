"""Derivatives of features with respect to merging weights, against differences in float64."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from deme.denoisers import Conditioning
from deme.errors import ModelError
from deme.generate import ImageRequest, SamplerConfig, generate_images
from deme.generate.images import initial_noise
from deme.generate.sampler import sample_latents
from deme.merge import InPlaceMerger, StateDict, TaskVector
from deme.metrics import Detector
from deme.metrics.torchscript import ScriptedNetwork
from deme.randomness import generator
from deme.search.sensitivities import FeatureSensitivities, feature_sensitivities
from merge.tiny_denoiser import TinyDenoiser

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
POINT = (0.4, -0.2)
COUNT = 5


class Sampled(TinyDenoiser):
    """A float64 denoiser that the samplers take; a large ``gain`` makes black and white images."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.network.eval()
        self.gain = gain
        scheduler = DDIMScheduler(100, clip_sample=False)
        self.scheduler_config = dict(cast(Any, scheduler.config))

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        return super().predict_with(network, x_t.double(), t, conditioning)

    def pixels(self, x_0: Tensor) -> Tensor:
        return (self.gain * x_0 / 60 + 0.5).clamp(0, 1) * 255

    def decode(self, x_0: Tensor) -> Tensor:
        return self.pixels(x_0).round().to(torch.uint8)


class Mixing(nn.Module):
    """Four smooth features of grey 8×8 images."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(torch.randn(64, 4, generator=draws) / 8, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images[:, :1].flatten(1).to(torch.float64) / 255
        return torch.tanh(pixels @ self.mix.to(torch.float64))


class Cube(torch.autograd.Function):
    """Without forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass


class Closed(Mixing):
    def forward(self, images: Tensor) -> Tensor:
        output: Any = Cube.apply(super().forward(images))
        return output


def merging(denoiser: Sampled) -> tuple[StateDict, list[TaskVector]]:
    base = StateDict({k: v.clone() for k, v in denoiser.weights().items()}, "base")
    vectors = []
    for seed in (1, 2):
        draws = torch.Generator().manual_seed(seed)
        tensors = {
            name: 0.1 * torch.randn(item.shape, generator=draws) * item.is_floating_point()
            for name, item in base.items()
        }
        vectors.append(TaskVector(tensors, f"expert {seed}"))
    return base, vectors


def request(batch: int = 6, **settings: Any) -> ImageRequest:
    sampler = SamplerConfig(sampler_steps=5, sample_batch_size=batch, **settings)
    return ImageRequest(sampler, seed=3, count=COUNT)


def detector_of(network: nn.Module) -> Detector:
    return Detector(network, name="mixing", digest="0", dimensions=4)


def sensitivities(
    denoiser: Sampled, wanted: ImageRequest, network: nn.Module
) -> FeatureSensitivities:
    return feature_sensitivities(denoiser, *merging(denoiser), POINT, wanted, detector_of(network))


def unquantised(denoiser: Sampled, wanted: ImageRequest, weights: Sequence[float]) -> Tensor:
    """Features float64 of images that were not rounded, by the plain sampler."""
    merged = InPlaceMerger(denoiser.clone(), *merging(denoiser))(weights)
    noise = initial_noise(wanted.seed, range(COUNT), denoiser.sample_shape)
    generators = [generator(wanted.seed, "sampler", index) for index in range(COUNT)]
    sample = inspect.unwrap(sample_latents)
    x_0 = sample(merged, wanted.sampler, noise, {}, generators)
    return Mixing()(denoiser.pixels(x_0))


@pytest.mark.parametrize(
    "settings", [{}, {"eta": 1.0}, {"sampler": "ddpm"}, {"sampler": "dpmsolver++"}]
)
def test_they_are_the_differences_of_features_that_were_not_rounded(
    settings: dict[str, Any],
) -> None:
    denoiser, wanted = Sampled(), request(**settings)
    found = sensitivities(denoiser, wanted, Mixing())
    assert found.derivatives.shape == (2, COUNT, 4)
    step = 1e-3
    for i in range(2):
        ends = [[w + s * (i == j) for j, w in enumerate(POINT)] for s in (step, -step)]
        first, second = (unquantised(denoiser, wanted, end) for end in ends)
        slope = (first - second) / (2 * step)
        error = (found.derivatives[i].double() - slope).norm() / slope.norm()
        assert error < 0.02  # the features' own curvature over half a level of grey


def test_the_features_are_those_of_the_images_as_drawn() -> None:
    denoiser, wanted = Sampled(), request()
    merged = InPlaceMerger(denoiser.clone(), *merging(denoiser))(POINT)
    drawn = detector_of(Mixing()).features(generate_images(merged, wanted))
    found = sensitivities(denoiser, wanted, Mixing())
    torch.testing.assert_close(found.features, drawn, rtol=0, atol=1e-6)


def test_what_is_saturated_does_not_move() -> None:
    found = sensitivities(Sampled(gain=1e6), request(), Mixing())
    assert float(found.derivatives.abs().max()) == 0


def test_the_batch_size_changes_nothing() -> None:
    first, second = (sensitivities(Sampled(), request(n), Mixing()) for n in (2, 60))
    torch.testing.assert_close(first.features, second.features)
    torch.testing.assert_close(first.derivatives, second.derivatives, rtol=1e-5, atol=1e-6)


def test_a_scripted_detector_has_forward_mode_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = ScriptedNetwork(torch.jit.script(Mixing()))
    plain = sensitivities(Sampled(), request(), Mixing())
    found = sensitivities(Sampled(), request(), scripted)
    torch.testing.assert_close(found.derivatives, plain.derivatives)


def test_where_there_is_no_forward_mode_the_error_names_the_alternative() -> None:
    with pytest.raises(ModelError, match=r"'mixing' cannot be differentiated.*finite differences"):
        sensitivities(Sampled(), request(), Closed())


def test_the_network_keeps_its_weights() -> None:
    denoiser = Sampled()
    before = merging(denoiser)[0].digest()
    sensitivities(denoiser, request(), Mixing())
    assert merging(denoiser)[0].digest() == before
