from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deme.denoisers import Denoiser, RoutedDenoiser, load_denoiser
from deme.errors import DataError
from deme.generate import ImageRequest, SamplerConfig, generate_images
from deme.generate.config import SamplerName

# diffusers 0.42 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")


def request_of(
    sampler: SamplerName, *, batch_size: int = 4, eta: float = 0.0, labels: Tensor | None = None
) -> ImageRequest:
    config = SamplerConfig(sampler=sampler, sampler_steps=6, sample_batch_size=batch_size, eta=eta)
    return ImageRequest(config, seed=11, count=6, labels=labels)


def differ(first: Tensor, second: Tensor) -> int:
    """The largest difference in levels of 255."""
    assert first.shape == second.shape and first.dtype == second.dtype == torch.uint8
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize(
    ("sampler", "eta"),
    [("ddim", 0.0), ("ddim", 1.0), ("ddpm", 0.0), ("pndm", 0.0), ("dpmsolver++", 0.0)],
)
def test_an_image_is_the_same_alone_in_any_batch_and_in_any_company(
    denoiser: Denoiser, sampler: SamplerName, eta: float
) -> None:
    every = generate_images(denoiser, request_of(sampler, eta=eta))
    assert every.shape == (6, 1, 8, 8) and len(every.unique()) > 50
    for batch_size in (1, 5, 64):
        again = generate_images(denoiser, request_of(sampler, batch_size=batch_size, eta=eta))
        assert differ(again, every) <= 1
    some = generate_images(denoiser, request_of(sampler, eta=eta), [4, 1])
    assert differ(some, every[[4, 1]]) <= 1
    assert differ(every[:-1], every[1:]) > 10


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_the_same_request_has_the_same_bytes(denoiser: Denoiser, sampler: SamplerName) -> None:
    first = generate_images(denoiser, request_of(sampler))
    torch.manual_seed(123)
    assert torch.equal(generate_images(denoiser, request_of(sampler)), first)


def test_another_seed_gives_other_images(denoiser: Denoiser) -> None:
    config = request_of("ddim").sampler
    first = generate_images(denoiser, ImageRequest(config, seed=1, count=3))
    assert differ(generate_images(denoiser, ImageRequest(config, seed=2, count=3)), first) > 10


def test_an_image_keeps_its_label_in_any_batch(make_pipeline: Callable[..., Path]) -> None:
    denoiser = load_denoiser(make_pipeline(classes=3))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    every = generate_images(denoiser, request_of("ddim", labels=labels))
    part = generate_images(denoiser, request_of("ddim", batch_size=1, labels=labels), [5, 2])
    assert differ(part, every[[5, 2]]) <= 1
    others = generate_images(denoiser, request_of("ddim", labels=(labels + 1) % 3))
    assert all(differ(others[i], every[i]) > 0 for i in range(6))


def test_a_class_conditional_model_without_labels_is_refused(
    make_pipeline: Callable[..., Path],
) -> None:
    denoiser = load_denoiser(make_pipeline(classes=3))
    with pytest.raises(DataError, match="class-conditional"):
        generate_images(denoiser, request_of("ddim"))
    with pytest.raises(DataError, match="knows classes 0 to 2"):
        generate_images(denoiser, request_of("ddim", labels=torch.tensor([0, 1, 2, 3, 0, 0])))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_images_are_an_empty_set_of_images(
    make_pipeline: Callable[..., Path], channels: int
) -> None:
    denoiser = load_denoiser(make_pipeline(channels=channels))
    nothing = generate_images(denoiser, request_of("ddim"), [])
    assert nothing.shape == (0, channels, 8, 8) and nothing.dtype == torch.uint8


def test_progress_counts_every_image_once(denoiser: Denoiser) -> None:
    finished: list[int] = []
    generate_images(denoiser, request_of("ddim"), on_progress=finished.append)
    assert finished == [4, 2]


def test_an_ensemble_of_equals_draws_the_same_images(denoiser: Denoiser) -> None:
    routed = RoutedDenoiser([denoiser, denoiser.clone()], (0, 500, 1000))
    expected = generate_images(denoiser, request_of("ddim"))
    assert torch.equal(generate_images(routed, request_of("ddim")), expected)
