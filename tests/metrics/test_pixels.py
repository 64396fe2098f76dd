import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from deme.metrics import FeatureStatistics, frechet_distance, load_detector


def noise(count: int, channels: int, height: int, width: int) -> Tensor:
    draw = torch.Generator().manual_seed(height * 100 + width)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)


def area_means(image: Tensor) -> Tensor:
    """The same by Pillow's box filter, a channel at a time and in float."""
    planes = [
        np.array(Image.fromarray(plane.float().numpy()).resize((8, 8), Image.Resampling.BOX))
        for plane in image
    ]
    return torch.from_numpy(np.stack(planes)).flatten() / 255


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_features_are_the_means_of_equal_boxes(side: int) -> None:
    images = noise(5, 3, side, side)
    box = side // 8
    means = images.double().unfold(2, box, box).unfold(3, box, box).mean(dim=(-1, -2)) / 255
    torch.testing.assert_close(load_detector("pixels")(images).double(), means.flatten(1))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (24, 40)])
def test_features_are_those_of_pillows_box_filter(height: int, width: int) -> None:
    images = noise(3, 3, height, width)
    expected = torch.stack([area_means(image) for image in images])
    torch.testing.assert_close(load_detector("pixels")(images), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (28, 28), (45, 61)])
def test_any_size_keeps_its_mean_and_a_flat_image_stays_flat(height: int, width: int) -> None:
    images = noise(4, 1, height, width)
    features = load_detector("pixels")(images)
    assert features.shape == (4, 192)
    assert features.min() >= 0 and features.max() <= 1
    torch.testing.assert_close(features.mean(dim=1), images.float().mean(dim=(1, 2, 3)) / 255)
    flat = load_detector("pixels")(torch.full((1, 3, height, width), 51, dtype=torch.uint8))
    torch.testing.assert_close(flat, torch.full((1, 192), 0.2))


def test_a_transposed_image_has_transposed_features() -> None:
    images = noise(2, 3, 20, 13)
    features = load_detector("pixels").features(images).view(2, 3, 8, 8)
    turned = load_detector("pixels").features(images.transpose(2, 3)).view(2, 3, 8, 8)
    torch.testing.assert_close(turned, features.transpose(2, 3))


def test_grey_images_are_repeated_to_three_channels_and_chunks_change_nothing() -> None:
    detector, grey = load_detector("pixels"), noise(7, 1, 28, 28)
    expected = detector(grey.repeat(1, 3, 1, 1))
    for batch_size in (1, 3, 7):
        torch.testing.assert_close(detector.features(grey, batch_size), expected)


def test_the_distance_of_grey_images_is_three_times_that_of_one_channel() -> None:
    real, generated = noise(300, 1, 9, 9), noise(300, 1, 10, 8)
    features = [load_detector("pixels").features(images) for images in (real, generated)]
    three, one = (
        frechet_distance(
            FeatureStatistics.from_features(first),
            FeatureStatistics.from_features(second),
            allow_unknown=True,
        )
        for first, second in (features, [rows[:, :64] for rows in features])
    )
    assert three == pytest.approx(3 * one, rel=1e-6)


def test_its_identity_is_that_of_its_definition() -> None:
    first, second = load_detector("pixels"), load_detector("pixels")
    assert first.digest == second.digest and len(first.digest) == 64
    assert (first.name, first.dimensions) == ("pixels", 192)
