import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from deme.errors import ConfigError, ModelError
from deme.files import hash_file
from deme.metrics import load_detector
from deme.metrics.dinov2 import resized_positions

WIDTH = 16


def write_tiny_dinov2(folder: Path, **changes: Any) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    settings = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 112,
        "patch_size": 56,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Dinov2Model(Dinov2Config(**{**settings, **changes}))
        for parameter in model.parameters():  # DINOv2's own start hardly tells images apart
            torch.nn.init.normal_(parameter, std=0.6)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dinov2(tmp_path_factory.mktemp("dinov2") / "tiny")


def pictures(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(count, channels, 5, 5, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).round().to(torch.uint8)


def published_pixels(images: Tensor) -> Tensor:
    """Resized by Pillow itself, as FD-DINOv2's code does, then normalised as ImageNet is."""
    rows = []
    for image in images:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        resized = picture.resize((224, 224), Image.Resampling.BICUBIC)
        rows.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return (torch.stack(rows) - mean) / deviation


@pytest.mark.parametrize("shape", [(224, 224), (32, 32), (300, 260)])
def test_features_are_the_stock_models_class_token(
    tiny_dinov2: Path, shape: tuple[int, int]
) -> None:
    from transformers import Dinov2Model

    detector = load_detector(f"dinov2:{tiny_dinov2}")
    images = pictures(3, *shape)
    model: Any = Dinov2Model.from_pretrained(tiny_dinov2)
    # Transformers resizes the grid of positions itself; here it gets one that fits already.
    model.embeddings.position_embeddings.data = resized_positions(
        model.embeddings.position_embeddings.data, 4
    )
    with torch.no_grad():
        expected = model(published_pixels(images)).last_hidden_state[:, 0]
    found = detector.features(images, batch_size=2)
    told_apart = expected.std(0)
    assert float(told_apart.min()) > 1e-3
    assert float(((found - expected).abs() / told_apart).max()) < 0.05
    if shape == (224, 224):  # nothing is resized: no level is rounded differently
        torch.testing.assert_close(found, expected)
    assert (detector.name, detector.dimensions) == ("tiny", WIDTH)
    assert detector.digest == hash_file(tiny_dinov2 / "model.safetensors")


def cubic_samples(before: int, after: int) -> Tensor:
    """``(after, before)``: Keys' cubic with a = -3/4 at ``(i + ½)·N/(n + 0.1) − ½``, edges held."""
    found = torch.zeros(after, before)
    for row in range(after):
        place = (row + 0.5) * before / (after + 0.1) - 0.5
        for near in range(math.floor(place) - 1, math.floor(place) + 3):
            x = abs(place - near)
            inner = 1.25 * x**3 - 2.25 * x**2 + 1
            outer = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            found[row, min(max(near, 0), before - 1)] += inner if x <= 1 else outer
    return found


def test_positions_are_sampled_where_dinov2s_own_code_samples_them() -> None:
    before, after = 37, 16
    draw = torch.Generator().manual_seed(0)
    token, grid = torch.randn(1, 1, 2, generator=draw), torch.randn(37, 37, 2, generator=draw)
    found = resized_positions(torch.cat([token, grid.reshape(1, -1, 2)], dim=1), after)
    samples = cubic_samples(before, after)
    expected = torch.einsum("ia,jb,abd->ijd", samples, samples, grid)
    assert torch.equal(found[:, :1], token)
    torch.testing.assert_close(found[0, 1:].view(after, after, 2), expected, rtol=1e-4, atol=1e-4)


def test_a_grid_that_fits_is_left_alone() -> None:
    embeddings = torch.randn(1, 17, 3)
    assert resized_positions(embeddings, 4) is embeddings


def test_grey_images_are_repeated_and_the_protocol_names_the_preparation(
    tiny_dinov2: Path,
) -> None:
    detector = load_detector(f"dinov2:{tiny_dinov2}")
    grey = pictures(2, 16, 16, channels=1)
    torch.testing.assert_close(detector(grey), detector(grey.repeat(1, 3, 1, 1)))
    said = detector.protocol("16px").resize
    assert said == (
        "16px, then bicubic to 224×224 as Pillow, mean 0.485 0.456 0.406, "
        "deviation 0.229 0.224 0.225"
    )


def test_other_models_and_patches_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_dinov2(tmp_path / "odd", patch_size=30, image_size=60)
    with pytest.raises(ModelError, match=r"patches of 30 pixels, which 224 is no multiple of"):
        load_detector(f"dinov2:{folder}")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match=r"is a 'clip' and not a DINOv2 model"):
        load_detector(f"dinov2:{folder}")
    with pytest.raises(ConfigError, match=r"no DINOv2 model in '\./nowhere'.*dinov2:<folder>"):
        load_detector("dinov2:./nowhere")
