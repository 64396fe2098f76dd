from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.config import parse_config
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError, ModelError
from deme.generate import SamplerConfig, build_scheduler, sample_latents
from deme.generate.config import SamplerName

# diffusers 0.42 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
Gaussian = Callable[..., Any]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_a_known_gaussian_is_sampled_exactly_in_the_limit(
    gaussian: Gaussian, sampler: SamplerName
) -> None:
    """Deterministic samplers follow the probability flow, known here in closed form."""
    denoiser = gaussian(mean=0.6, deviation=0.3, dimensions=8)
    noise = normal(512, 8)
    errors = []
    for steps in (50, 500):
        config = SamplerConfig(sampler=sampler, sampler_steps=steps)
        x_0 = sample_latents(denoiser, config, noise, {})
        errors.append(float((x_0 - denoiser.flow(noise)).abs().max()))
    assert errors[1] < 0.02 and errors[1] < errors[0] / 2
    assert float(x_0.mean()) == pytest.approx(0.6, abs=0.02)
    assert float(x_0.std()) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("config", [{"sampler": "ddpm"}, {"sampler": "ddim", "eta": 1.0}])
def test_a_known_gaussian_is_sampled_by_noisy_samplers(
    gaussian: Gaussian, config: dict[str, Any]
) -> None:
    denoiser = gaussian(mean=-0.4, deviation=0.5, dimensions=64)
    generators = [torch.Generator().manual_seed(index) for index in range(64)]
    sampler = SamplerConfig(sampler_steps=500, **config)
    x_0 = sample_latents(denoiser, sampler, normal(64, 64), {}, generators)
    assert float(x_0.mean()) == pytest.approx(-0.4, abs=0.03)
    assert float(x_0.std()) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "pndm", "dpmsolver++"])
def test_the_network_is_called_once_for_each_timestep(
    denoiser: Denoiser, sampler: SamplerName
) -> None:
    seen: list[int] = []

    def note(module: object, inputs: tuple[Tensor, Tensor]) -> None:
        assert inputs[1].shape == (2,) and inputs[1].dtype == torch.long
        assert len(inputs[1].unique()) == 1
        seen.append(int(inputs[1][0]))

    denoiser.network.register_forward_pre_hook(note)
    config = SamplerConfig(sampler=sampler, sampler_steps=7)
    generators = [torch.Generator(), torch.Generator()]
    sample_latents(denoiser, config, normal(2, 1, 8, 8), {}, generators)
    assert seen == build_scheduler(denoiser, config).timesteps.tolist()
    if sampler != "pndm":
        assert len(seen) == 7 and set(Counter(seen).values()) == {1}
    else:  # three Runge-Kutta steps of four calls, then one call a step
        assert len(seen) == 16


def test_samplers_that_add_no_noise_need_no_generators(denoiser: Denoiser) -> None:
    noise = normal(2, 1, 8, 8)
    for sampler in ("ddim", "pndm", "dpmsolver++"):
        config = SamplerConfig(sampler=sampler, sampler_steps=5)
        generators = [torch.Generator().manual_seed(9), torch.Generator().manual_seed(8)]
        first = sample_latents(denoiser, config, noise, {})
        assert torch.equal(first, sample_latents(denoiser, config, noise, {}, generators))


def test_eta_adds_noise_from_the_images_generators(denoiser: Denoiser) -> None:
    noise = normal(2, 1, 8, 8)

    def draw(eta: float, seed: int) -> Tensor:
        generators = [torch.Generator().manual_seed(seed + i) for i in range(2)]
        config = SamplerConfig(sampler_steps=5, eta=eta)
        return sample_latents(denoiser, config, noise, {}, generators)

    assert torch.equal(draw(0.5, 1), draw(0.5, 1))
    assert not torch.equal(draw(0.5, 1), draw(0.5, 5))
    assert torch.equal(draw(0.0, 1), draw(0.0, 5))


@pytest.mark.parametrize(
    ("sampler", "steps", "fix"),
    [
        ("pndm", 3, "Fix: give sampler_steps from 4 to 1000."),
        ("ddim", 1001, "Fix: give sampler_steps from 1 to 1000."),
        ("ddpm", 1001, "Fix: give sampler_steps from 1 to 1000."),
        ("dpmsolver++", 2000, "Fix: give sampler_steps from 1 to 1000."),
    ],
)
def test_steps_that_a_sampler_cannot_do_are_refused(
    denoiser: Denoiser, sampler: SamplerName, steps: int, fix: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        build_scheduler(denoiser, SamplerConfig(sampler=sampler, sampler_steps=steps))
    assert str(raised.value).startswith(f"sampler_steps {steps} cannot be done by {sampler} on ")
    assert str(raised.value).endswith(fix)


def test_pndm_refuses_a_model_that_predicts_the_sample(
    make_pipeline: Callable[..., Path],
) -> None:
    denoiser = load_denoiser(make_pipeline("sample"))
    with pytest.raises(ModelError, match=r"pndm cannot sample from .* predicts 'sample'"):
        build_scheduler(denoiser, SamplerConfig(sampler="pndm", sampler_steps=10))


def test_eta_of_another_sampler_is_refused_and_not_ignored() -> None:
    assert SamplerConfig(eta=0.5).describe() == "ddim-50-eta0.5"
    assert SamplerConfig(sampler="ddpm").describe() == "ddpm-50"
    with pytest.raises(ConfigError, match=r"eta 0\.5 is of ddim; ddpm takes none"):
        parse_config(SamplerConfig, {"sampler": "ddpm", "eta": 0.5})
