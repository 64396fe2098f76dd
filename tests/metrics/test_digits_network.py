from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deme.errors import DataError, ModelError, StorageError
from deme.metrics import Detector, DigitsNetwork, load_detector
from deme.metrics.digits import load_digits_network


@pytest.fixture
def network() -> DigitsNetwork:
    torch.manual_seed(0)
    return DigitsNetwork()


def test_grey_and_repeated_images_give_the_same_features(network: DigitsNetwork) -> None:
    detector = Detector(network, name="digits", digest="0", dimensions=32)
    grey = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    assert detector(grey).shape == (6, 32)
    assert torch.equal(detector(grey), detector(grey.repeat(1, 3, 1, 1)))


def test_weights_survive_a_file_without_touching_the_global_generator(
    network: DigitsNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "digits.safetensors"
    save_file(network.state_dict(), path)
    state = torch.get_rng_state()
    loaded = load_digits_network(path)
    assert torch.equal(torch.get_rng_state(), state)
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(loaded(images), network.eval()(images))
    assert loaded.classify(loaded(images)).shape == (4, 10)


def test_images_of_another_size_are_refused(network: DigitsNetwork) -> None:
    detector = Detector(network, name="digits", digest="0", dimensions=32)
    with pytest.raises(DataError, match=r"reads 8×8 images and was given \(2, 3, 32, 32\)"):
        detector(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


def test_weights_that_are_missing_truncated_or_of_another_network(
    network: DigitsNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "digits.safetensors"
    with pytest.raises(StorageError, match=r"Cannot read.*install deme again"):
        load_digits_network(path)
    save_file(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StorageError, match="Cannot read"):
        load_digits_network(path)
    save_file({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="does not hold the digits detector"):
        load_digits_network(path)


def test_the_bundled_detector_tells_the_digits_apart() -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(values * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)
    detector = load_detector("digits")
    network = detector.network
    assert isinstance(network, DigitsNetwork)
    scores = network.classify(detector.features(pixels, batch_size=256))
    accuracy = (scores.argmax(dim=1) == torch.from_numpy(labels)).float().mean()
    assert accuracy > 0.99
