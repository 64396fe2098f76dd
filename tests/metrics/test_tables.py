"""A detector may make more tables than features."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deme.errors import ConfigError, ModelError
from deme.metrics import Detector, load_detector


class CountsItsPasses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        return self.tables(images, ("features",))["features"]

    def tables(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        self.passes += 1
        means = images.float().mean([2, 3])
        found = {"features": means, "spatial": images.float()[:, 0, 0, :2]}
        return {name: found[name] for name in names}


class LikeInception(nn.Module):
    """NVIDIA's signature: probabilities unless told to return features."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Linear(3, 5)

    def forward(
        self, images: Tensor, return_features: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        means = images.float().mean([2, 3]) / 255
        if return_features:
            return means
        scores = self.classes(means)
        if no_output_bias:
            scores = scores - self.classes.bias
        return scores.softmax(dim=1)


def random_images(count: int, channels: int = 3, side: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)


def test_all_tables_come_from_one_pass_and_any_batch_size_gives_the_same() -> None:
    network = CountsItsPasses()
    detector = Detector(network, name="two", digest="0", dimensions=3, others={"spatial": 2})
    images = random_images(7)
    whole = detector.tables(images, ["spatial", "features"])
    assert network.passes == 1 and list(whole) == ["spatial", "features"]
    parts = detector.tables(images, ["features", "spatial", "features"], batch_size=3)
    assert network.passes == 4
    for name, table in whole.items():
        assert torch.equal(parts[name], table) and not table.is_inference()
    assert torch.equal(whole["features"], detector.features(images))
    assert torch.equal(whole["spatial"], images.float()[:, 0, 0, :2])


def test_no_images_give_empty_tables_of_the_right_width() -> None:
    tables = load_detector("digits").tables(random_images(0), ["features", "probabilities"])
    assert [table.shape for table in tables.values()] == [(0, 32), (0, 10)]


def test_the_digits_detector_gives_class_probabilities_that_know_the_digits() -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(values * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)
    detector = load_detector("digits")
    tables = detector.tables(images, ["features", "probabilities"], batch_size=256)
    probabilities = tables["probabilities"]
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(len(images)))
    right = probabilities.argmax(dim=1) == torch.from_numpy(labels)
    assert probabilities.min() >= 0 and right.float().mean() > 0.99
    assert torch.equal(tables["features"], detector.features(images, batch_size=256))


@pytest.mark.parametrize("table", ["spatial", "probabilities"])
def test_a_table_that_a_detector_lacks_names_the_detectors_that_have_it(table: str) -> None:
    detector = load_detector("pixels")
    message = rf"'pixels' makes no {table}, only features.*use a detector.*inception-fidelity"
    with pytest.raises(ConfigError, match=message):
        detector.tables(random_images(2), ["features", table])


def test_an_unknown_table_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"no table 'probability'.*Did you mean 'probabilities'"):
        load_detector("digits").tables(random_images(2), ["probability"])


def test_a_table_of_another_width_is_an_error() -> None:
    detector = Detector(
        CountsItsPasses(), name="two", digest="0", dimensions=3, others={"spatial": 9}
    )
    with pytest.raises(ModelError, match=r"returned 2 spatial.* has 9 dimensions"):
        detector.tables(random_images(2), ["spatial"])


def test_nvidias_script_gives_probabilities_without_the_classifiers_bias(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LikeInception()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(network), tmp_path / "inception.pt")
    detector = load_detector(str(tmp_path / "inception.pt"))
    assert detector.widths == {"features": 3, "probabilities": 5}
    images = random_images(6, channels=1)
    tables = detector.tables(images, ["probabilities", "features"], batch_size=4)
    means = images.float().mean([2, 3]).expand(-1, 3) / 255
    torch.testing.assert_close(tables["features"], means)
    expected = (means @ network.classes.weight.T).softmax(dim=1).detach()
    torch.testing.assert_close(tables["probabilities"], expected)


def test_the_protocol_says_how_images_are_prepared() -> None:
    detector = Detector(
        CountsItsPasses(), name="two", digest="abc", dimensions=3, preparation="halved"
    )
    assert detector.protocol("32px").resize == "32px, then halved"
    assert detector.protocol().detector_digest == "abc"
