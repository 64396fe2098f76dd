import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from deme.errors import ConfigError, ModelError, StorageError
from deme.files import hash_file
from deme.metrics import load_detector
from deme.metrics.clip import clip_text_features
from deme.metrics.preparation import CLIP_DEVIATION, ImagePreparation
from metrics.tiny_clip import DIMENSIONS, SIDE, write_tiny_clip

LEVEL = 1 / 255 / min(CLIP_DEVIATION)
"""How far apart prepared pixels are that differ by one of 255 levels."""


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


def pictures(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(count, channels, 5, 5, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=draw)
    return (noisy.clamp(0, 1) * 255).round().to(torch.uint8)


def stock_pixels(images: Tensor, **settings: Any) -> Tensor:
    """The pixels that transformers' own processor makes, with Pillow."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(**settings)
    pil = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return processor(pil, return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (32, 32), (24, 40), (51, 51)])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}},
        {"size": {"height": 20, "width": 20}, "crop_size": {"height": 16, "width": 16}},
        {"size": {"height": 12, "width": 12}, "crop_size": {"height": 17, "width": 16}},
        {"size": {"height": 16, "width": 16}, "do_center_crop": False, "resample": 2},
    ],
)
def test_pixels_are_those_of_pillow_to_one_level(
    shape: tuple[int, int], settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    images = pictures(3, *shape)
    ours = ImagePreparation.of_folder(tmp_path, side=99)(images)
    theirs = stock_pixels(images, **settings)
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs()
    assert float(difference.max()) < 1.01 * LEVEL
    assert float((difference > 0.01 * LEVEL).double().mean()) < 0.01


def test_without_settings_clips_own_are_used(tmp_path: Path) -> None:
    images = pictures(2, 30, 30)
    size = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
    ours = ImagePreparation.of_folder(tmp_path, side=24)(images)
    assert float((ours - stock_pixels(images, **size)).abs().max()) < 1.01 * LEVEL


def test_features_are_the_stock_models_embeddings(tiny_clip: Path) -> None:
    from transformers import CLIPModel

    detector = load_detector(f"clip:{tiny_clip}")
    images = pictures(5, SIDE, SIDE)  # of the tower's size: the resize changes nothing
    model: Any = CLIPModel.from_pretrained(tiny_clip)
    with torch.no_grad():
        pixels = stock_pixels(images, size={"shortest_edge": SIDE}, do_center_crop=False)
        expected = model.visual_projection(model.vision_model(pixels).pooler_output)
    torch.testing.assert_close(detector.features(images, batch_size=2), expected)
    assert float(expected.std(0).min()) > 1e-3
    assert (detector.name, detector.dimensions) == ("tiny-clip", DIMENSIONS)
    assert detector.digest == hash_file(tiny_clip / "model.safetensors")


def test_the_tower_alone_has_the_same_features(tiny_clip: Path, tmp_path: Path) -> None:
    alone = load_detector(f"clip:{write_tiny_clip(tmp_path / 'alone', tower_alone=True)}")
    images = pictures(2, 20, 28)
    torch.testing.assert_close(alone(images), load_detector(f"clip:{tiny_clip}")(images))


def test_grey_images_are_repeated_to_three_channels(tiny_clip: Path) -> None:
    detector = load_detector(f"clip:{tiny_clip}")
    grey = pictures(2, 8, 8, channels=1)
    torch.testing.assert_close(detector(grey), detector(grey.repeat(1, 3, 1, 1)))


def test_loading_says_nothing_and_draws_nothing(
    tiny_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.random.get_rng_state()
    load_detector(f"clip:{tiny_clip}")
    assert capsys.readouterr() == ("", "")
    assert torch.equal(before, torch.random.get_rng_state())


def test_captions_are_embedded_as_the_stock_model_does(tiny_clip: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    captions = ["a", "b ab", "ab a b", "", "b a " * 9]
    model: Any = CLIPModel.from_pretrained(tiny_clip)
    tokenizer: Any = CLIPTokenizer.from_pretrained(tiny_clip)
    expected = []
    for caption in captions:  # one by one: what pads a batch must not matter
        tokens = tokenizer([caption], truncation=True, max_length=8, return_tensors="pt")
        with torch.no_grad():
            expected.append(model.text_projection(model.text_model(**tokens).pooler_output))
    features = clip_text_features(str(tiny_clip), captions, batch_size=3)
    torch.testing.assert_close(features, torch.cat(expected))
    assert features.shape == (5, DIMENSIONS) and features.dtype == torch.float32
    assert clip_text_features(str(tiny_clip), []).shape == (0, DIMENSIONS)


def test_weights_that_are_pickled_are_refused(tiny_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_clip / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no safetensors weights.*refs/pr"):
        load_detector(f"clip:{tmp_path}")


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_tiny_clip(tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, such as visual_projection\.weight"):
        load_detector(f"clip:{folder}")


def test_a_truncated_file_is_an_error_of_ours(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_detector(f"clip:{folder}")


def test_other_models_and_places_are_refused(tiny_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(StorageError, match=r"no config\.json"):
        load_detector(f"clip:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match=r"is a 'bert' and not a CLIP model"):
        load_detector(f"clip:{tmp_path}")
    for wrong in ("@main", "./nowhere", "a/b/c", str(tiny_clip / "config.json")):
        with pytest.raises(ConfigError, match="There is no CLIP model"):
            load_detector(f"clip:{wrong}")


@pytest.mark.parametrize(
    "settings", [{"do_resize": False}, {"resample": 4}, {"size": {"longest_edge": 3}}, ["a"]]
)
def test_unknown_image_settings_are_refused(settings: object, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="settings that are not CLIP's"):
        ImagePreparation.of_folder(tmp_path, side=16)
