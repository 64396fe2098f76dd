import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deme.errors import ConfigError, DataError, ModelError, StorageError
from deme.files import hash_file
from deme.metrics import Detector, load_detector

SHARED = Path(os.environ.get("DEME_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))


class ChannelMeans(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean([2, 3])


class LikeInception(nn.Module):
    """Class scores, unless told to return features, as NVIDIA's file."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        means = images.float().mean([2, 3])
        if return_features:
            return torch.cat([means, means], dim=1)
        return means[:, :1]


class OnlySide64(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 64 * 64, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.float().flatten(1) / 255)


class KeepsPlaces(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float()


class MergesImages(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean([2, 3]).mean(0, keepdim=True)


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def random_images(count: int, channels: int = 3, side: int = 16) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)


def test_a_torchscript_file_is_called_with_the_images_as_they_are(tmp_path: Path) -> None:
    path = script(ChannelMeans(), tmp_path / "means.pt")
    detector = load_detector(str(path))
    images = random_images(7)
    features = detector.features(images, batch_size=3)
    assert (detector.name, detector.dimensions, detector.digest) == ("means", 3, hash_file(path))
    assert features.dtype == torch.float32 and features.device.type == "cpu"
    torch.testing.assert_close(features, images.float().mean([2, 3]))


def test_return_features_is_passed_where_the_schema_has_it(tmp_path: Path) -> None:
    detector = load_detector(str(script(LikeInception(), tmp_path / "inception.pt")))
    images = random_images(2)
    means = images.float().mean([2, 3])
    assert detector.dimensions == 6
    torch.testing.assert_close(detector(images), torch.cat([means, means], dim=1))


def test_grey_images_are_repeated_to_three_channels(tmp_path: Path) -> None:
    detector = load_detector(str(script(ChannelMeans(), tmp_path / "means.pt")))
    grey = random_images(4, channels=1)
    assert torch.equal(detector(grey), detector(grey.repeat(1, 3, 1, 1)))


def test_a_detector_of_another_input_size_is_found_out(tmp_path: Path) -> None:
    detector = load_detector(str(script(OnlySide64(), tmp_path / "side64.pt")))
    assert detector.dimensions == 5
    assert detector(random_images(2, side=64)).shape == (2, 5)
    with pytest.raises(DataError, match=r"side64.*\(2, 3, 16, 16\)"):
        detector(random_images(2))


def test_loading_and_running_warns_of_nothing(tmp_path: Path) -> None:
    path = script(ChannelMeans(), tmp_path / "means.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_detector(str(path))(random_images(2))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 11, 64])
def test_chunks_change_nothing(tmp_path: Path, batch_size: int) -> None:
    torch.manual_seed(0)
    detector = load_detector(str(script(OnlySide64(), tmp_path / "side64.pt")))
    images = random_images(11, side=64)
    torch.testing.assert_close(detector.features(images, batch_size), detector(images))


def test_features_ignore_autocast_and_are_ordinary_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = load_detector(str(script(OnlySide64(), tmp_path / "side64.pt")))
    images = random_images(3, side=64)
    expected = detector(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = detector(images)
    assert torch.equal(features, expected)
    assert not features.is_inference() and not features.requires_grad


def test_no_images_give_no_features(tmp_path: Path) -> None:
    detector = load_detector(str(script(ChannelMeans(), tmp_path / "means.pt")))
    assert detector.features(random_images(0)).shape == (0, 3)


@pytest.mark.parametrize("content", [b"", b"not a script", b"PK\x03\x04 broken"])
def test_a_file_that_is_not_torchscript(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.pt is not a TorchScript file, or is truncated"):
        load_detector(str(path))


def test_a_truncated_torchscript_file(tmp_path: Path) -> None:
    path = script(OnlySide64(), tmp_path / "half.pt")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match="truncated"):
        load_detector(str(path))


def test_a_pickled_checkpoint_is_no_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="not a TorchScript file"):
        load_detector(str(path))


@pytest.mark.parametrize(
    ("module", "shape"), [(KeepsPlaces(), r"\(2, 3, 32, 32\)"), (MergesImages(), r"\(1, 3\)")]
)
def test_a_wrong_output_shape_is_named(tmp_path: Path, module: nn.Module, shape: str) -> None:
    path = script(module, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=rf"'odd' returned {shape} for 2 images, not \(B, D\)"):
        load_detector(str(path))


def test_another_number_of_features_later_is_an_error() -> None:
    detector = Detector(ChannelMeans(), name="means", digest="0", dimensions=4)
    with pytest.raises(ModelError, match=r"returned 3 features.* has 4 dimensions"):
        detector(random_images(2))


def test_an_unknown_detector_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"no detector 'digit'.*Did you mean 'digits'.*https"):
        load_detector("digit")


def test_a_folder_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no detector file"):
        load_detector(str(tmp_path))


@pytest.mark.parametrize(
    "images",
    [torch.zeros(2, 3, 8, 8), random_images(2, channels=4), random_images(2)[0]],
    ids=["float", "alpha", "three axes"],
)
def test_wrong_images_are_refused(images: Tensor) -> None:
    detector = Detector(ChannelMeans(), name="means", digest="0", dimensions=3)
    with pytest.raises(DataError, match="reads uint8 images"):
        detector.features(images)


def test_the_protocol_carries_the_detectors_identity() -> None:
    detector = Detector(ChannelMeans(), name="means", digest="abc", dimensions=3)
    protocol = detector.protocol(resize="bilinear to 8×8")
    assert (protocol.detector, protocol.detector_digest) == ("means", "abc")
    assert protocol.resize == "bilinear to 8×8"


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "dimensions"), [("cifar10_resnet56.pt", 64), ("mobilenet_v1_1024.pt", 1024)]
)
def test_real_detectors(file: str, dimensions: int) -> None:
    path = SHARED / "features" / file
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    detector = load_detector(str(path))
    images = random_images(5, side=32)
    features = detector.features(images, batch_size=2)
    assert detector.dimensions == dimensions and features.shape == (5, dimensions)
    torch.testing.assert_close(features, detector(images), rtol=1e-4, atol=1e-4)
    assert features.std(dim=0).max() > 0
