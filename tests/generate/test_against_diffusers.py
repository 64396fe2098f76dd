"""Images equal those of diffusers' own pipelines and schedulers, given the same noise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline

from deme.denoisers import load_denoiser
from deme.generate import (
    ImageRequest,
    SamplerConfig,
    build_scheduler,
    generate_images,
    initial_noise,
    sample_latents,
)
from deme.generate.config import SamplerName
from deme.randomness import generator

# diffusers 0.42 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
MakePipeline = Callable[..., Path]
CLASSES: dict[SamplerName, str] = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "pndm": "PNDMScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
}
SAMPLERS = list(CLASSES)


def load_stock(folder: Path) -> Any:
    pipeline = cast(Any, DDPMPipeline.from_pretrained(folder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_equals_diffusers_scheduler_run_by_hand(
    make_pipeline: MakePipeline, sampler: SamplerName, prediction: str
) -> None:
    if (sampler, prediction) == ("pndm", "sample"):
        pytest.skip("diffusers' PNDM knows no sample prediction; refused, see test_sampler.py")
    folder = make_pipeline(prediction)
    stock = load_stock(folder)
    scheduler = getattr(diffusers, CLASSES[sampler]).from_config(stock.scheduler.config)
    scheduler.set_timesteps(6)
    noise = torch.stack([torch.randn(1, 8, 8, generator=generator(5, "x_T", i)) for i in range(3)])
    takes_noise = {"generator": [generator(5, "sampler", i) for i in range(3)]}
    x_t = noise.clone()
    with torch.no_grad():
        for t in scheduler.timesteps:
            extra = takes_noise if sampler == "ddpm" else {}
            x_t = scheduler.step(stock.unet(x_t, t).sample, t, x_t, **extra).prev_sample
    config = SamplerConfig(sampler=sampler, sampler_steps=6)
    generators = [generator(5, "sampler", i) for i in range(3)]
    ours = sample_latents(load_denoiser(folder), config, noise, {}, generators)
    torch.testing.assert_close(ours, x_t, rtol=0, atol=1e-5)
    assert float(x_t.std()) > 0.05


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_equal_the_ddim_pipelines(
    make_pipeline: MakePipeline, eta: float, channels: int
) -> None:
    """The pipeline draws x_T and the steps' noise from one generator per image; ours from two."""
    folder = make_pipeline(channels=channels)
    stock = load_stock(folder)
    pipeline = cast(
        Any, DDIMPipeline(stock.unet, cast(Any, DDIMScheduler).from_config(stock.scheduler.config))
    )
    pipeline.set_progress_bar_config(disable=True)
    config = SamplerConfig(sampler="ddim", sampler_steps=10, eta=eta)
    drawn = [generator(5, "x_T", i) for i in range(2)]
    expected = pipeline(
        batch_size=2, generator=drawn, eta=eta, num_inference_steps=10, output_type="np"
    ).images
    expected = (expected * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)
    denoiser = load_denoiser(folder)
    continued = [generator(5, "x_T", i) for i in range(2)]
    noise = torch.stack([torch.randn(denoiser.sample_shape, generator=g) for g in continued])
    ours = denoiser.decode(sample_latents(denoiser, config, noise, {}, continued)).numpy()
    assert np.abs(ours.astype(int) - expected.astype(int)).max() <= 1
    assert len(np.unique(ours)) > 40
    if eta == 0:
        images = generate_images(denoiser, ImageRequest(config, seed=5, count=2))
        assert np.abs(images.numpy().astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stored", list(CLASSES.values()))
def test_a_scheduler_is_configured_as_diffusers_would_from_any_stored_one(
    make_pipeline: MakePipeline, sampler: SamplerName, stored: str
) -> None:
    denoiser = load_denoiser(make_pipeline())
    kept = getattr(diffusers, stored)(
        beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000, beta_end=0.01
    )
    denoiser.scheduler_config = dict(kept.config)
    kind = getattr(diffusers, CLASSES[sampler])
    extra = {"algorithm_type": "dpmsolver++"} if sampler == "dpmsolver++" else {}
    expected = kind.from_config(kept.config, **extra)
    expected.set_timesteps(10)
    ours = build_scheduler(denoiser, SamplerConfig(sampler=sampler, sampler_steps=10))
    assert type(ours) is kind
    assert {k: v for k, v in ours.config.items() if not k.startswith("_")} == {
        k: v for k, v in expected.config.items() if k in set(kind().config) and k[0] != "_"
    }
    assert torch.equal(torch.as_tensor(ours.timesteps), torch.as_tensor(expected.timesteps))


def test_initial_noise_is_standard_normal_and_the_models_do_not_matter() -> None:
    noise = initial_noise(3, range(500), (1, 4, 4))
    assert noise.shape == (500, 1, 4, 4)
    assert abs(float(noise.mean())) < 0.05 and abs(float(noise.std()) - 1) < 0.05
    assert torch.equal(noise[7:9], initial_noise(3, [7, 8], (1, 4, 4)))
