"""Fréchet distance, KID, precision and recall against torch-fidelity, on the same features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from deme.data import DataConfig, load_images, pixels
from deme.metrics import (
    Detector,
    FeatureStatistics,
    frechet_distance,
    precision_recall,
    squared_discrepancy,
)
from metrics.torchvision_stand_in import torch_fidelity

SUBSET, SUBSETS, SEED = 40, 5, 2020
"""The drawing of torch-fidelity's subsets is repeated here; 2020 is its own seed."""


@pytest.fixture(scope="module")
def library() -> Any:
    return torch_fidelity()


def clouds(real: int, generated: int, dimensions: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(dimensions)
    mixing = torch.randn(dimensions, dimensions, generator=draw)
    first = torch.randn(real, dimensions, generator=draw) @ mixing
    second = torch.randn(generated, dimensions, generator=draw) @ mixing.T + 0.5
    return first, second


def ours(real: Tensor, generated: Tensor) -> float:
    first, second = map(FeatureStatistics.from_features, (real, generated))
    return frechet_distance(first, second, allow_unknown=True)


def our_kernel_distance(real: Tensor, generated: Tensor) -> float:
    """The mean over the subsets that torch-fidelity draws, which takes ``generated`` first."""
    draw = np.random.RandomState(SEED)
    values = []
    for _ in range(SUBSETS):
        one = generated[draw.choice(len(generated), SUBSET, replace=False)]
        other = real[draw.choice(len(real), SUBSET, replace=False)]
        values.append(squared_discrepancy(other, one))
    return float(np.mean(values))


@pytest.mark.parametrize(("real", "generated", "dimensions"), [(300, 250, 16), (90, 60, 48)])
def test_the_frechet_distance_is_torch_fidelitys(
    library: Any, real: int, generated: int, dimensions: int
) -> None:
    first, second = clouds(real, generated, dimensions)
    metric = library.metric_fid
    moments = [metric.fid_features_to_statistics(features) for features in (second, first)]
    theirs = metric.fid_statistics_to_metric(*moments, verbose=False)
    assert ours(first, second) == pytest.approx(theirs[library.KEY_METRIC_FID], rel=1e-6)


def test_the_kernel_distance_is_torch_fidelitys_on_the_same_subsets(library: Any) -> None:
    first, second = clouds(120, 90, 12)
    theirs = library.metric_kid.kid_features_to_metric(
        second, first, kid_subsets=SUBSETS, kid_subset_size=SUBSET, rng_seed=SEED, verbose=False
    )
    found = our_kernel_distance(first, second)
    assert found == pytest.approx(theirs[library.KEY_METRIC_KID_MEAN], rel=1e-5)


@pytest.mark.parametrize("neighbours", [3, 5])
def test_precision_and_recall_are_torch_fidelitys(library: Any, neighbours: int) -> None:
    first, second = clouds(200, 150, 8)
    theirs = library.metric_prc.prc_features_to_metric(
        second, first, prc_neighborhood=neighbours, verbose=False
    )
    found = precision_recall(first, second, neighbours)
    assert 0.05 < found.precision < 0.95 and 0.05 < found.recall < 0.95
    assert found.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert found.recall == pytest.approx(theirs["recall"], abs=1e-6)


class SmallNetwork(nn.Module):
    """Six features of 16×16 images, the same wherever it is made."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3 * 16 * 16, 6, generator=draw) / 28

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(images.float().flatten(1) / 64 @ self.weight)


def register(library: Any) -> str:
    class Extractor(library.FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)
            self.network = SmallNetwork()

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (self.network(images),)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return ("small",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "small"

    library.register_feature_extractor("deme-small", Extractor)
    return "deme-small"


def write_images(folder: Path, seed: int, centre: float) -> Path:
    """Every second image is a JPEG, which loses; both sides read the same files."""
    draw = np.random.default_rng(seed)
    folder.mkdir()
    for index in range(60):
        coarse = draw.normal(centre, 50, (4, 4, 3)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC)
        picture.save(folder / (f"{index:03d}.jpg" if index % 2 else f"{index:03d}.png"))
    return folder


def test_folders_of_png_and_jpeg_are_measured_as_torch_fidelitys_own_command_does(
    library: Any, tmp_path: Path
) -> None:
    folders = write_images(tmp_path / "real", 1, 120), write_images(tmp_path / "made", 2, 135)
    theirs = library.calculate_metrics(
        input1=str(folders[1]),
        input2=str(folders[0]),
        feature_extractor=register(library),
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=SUBSETS,
        kid_subset_size=SUBSET,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    detector = Detector(SmallNetwork(), name="small", digest="0", dimensions=6)
    real, generated = (
        detector.features(pixels(source, range(len(source))), batch_size=17)
        for source in (
            load_images(
                DataConfig(dataset=str(folder)),
                channels=3,
                resolution=16,
                cache_folder=tmp_path / "cache",
                progress=False,
            )
            for folder in folders
        )
    )
    assert len(real) == len(generated) == 60
    assert ours(real, generated) == pytest.approx(theirs[library.KEY_METRIC_FID], rel=1e-3)
    assert our_kernel_distance(real, generated) == pytest.approx(
        theirs[library.KEY_METRIC_KID_MEAN], rel=1e-3
    )
    found = precision_recall(real, generated)
    assert found.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert found.recall == pytest.approx(theirs["recall"], abs=1e-6)
