import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deme.errors import ConfigError, DataError, MissingExtraError, StorageError
from deme.metrics.perceptual import (
    PerceptualDistance,
    load_lpips,
    perceptual_diversity,
    random_pairs,
)


class MeanDifference(nn.Module):
    """|mean x − mean y|, for images that are told apart by their brightness."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        difference = first.float().mean([1, 2, 3]) - second.float().mean([1, 2, 3])
        return difference.abs()[:, None]


class FourPoolings(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(first.float() - second.float(), 16)
        return pooled.mean([1, 2, 3])


def by_brightness() -> PerceptualDistance:
    return PerceptualDistance(MeanDifference(), name="brightness", digest="0")


def flat_images(*levels: int) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)


def test_few_images_give_every_pair_once() -> None:
    assert random_pairs(3, 3).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert len({tuple(pair) for pair in random_pairs(9, 36).tolist()}) == 36


def test_pairs_are_seeded_and_never_of_an_image_with_itself() -> None:
    pairs = random_pairs(10, 44, seed=3)
    assert pairs.shape == (44, 2)
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    assert int(pairs.min()) >= 0 and int(pairs.max()) <= 9
    assert torch.equal(pairs, random_pairs(10, 44, seed=3))
    assert not torch.equal(pairs, random_pairs(10, 44, seed=4))


def test_every_ordered_pair_is_as_likely() -> None:
    pairs = random_pairs(300, 30_000)
    differences = torch.bincount((pairs[:, 1] - pairs[:, 0]) % 300, minlength=300)
    firsts = torch.bincount(pairs[:, 0], minlength=300)
    assert int(differences[0]) == 0
    for counts, expected in ((differences[1:], 30_000 / 299), (firsts, 100.0)):
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert 200 < chi_square < 420  # about 299 ± 24


def test_diversity_of_all_pairs_is_the_mean_difference() -> None:
    distances = perceptual_diversity(flat_images(0, 10, 40), by_brightness())
    assert distances.tolist() == [10, 40, 30]
    same = perceptual_diversity(flat_images(*[7] * 5), by_brightness())
    assert same.tolist() == [0.0] * 10


def test_diversity_of_random_pairs_is_near_that_of_all() -> None:
    levels = torch.arange(200, dtype=torch.uint8)
    images = levels[:, None, None, None].expand(-1, 1, 4, 4)
    some = perceptual_diversity(images, by_brightness(), pairs=4000, seed=1)
    whole = perceptual_diversity(images, by_brightness(), pairs=19900)
    assert len(some) == 4000 and len(whole) == 19900
    assert float(some.mean()) == pytest.approx(float(whole.mean()), rel=0.04)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_before_and_after_are_compared_image_by_image(batch_size: int) -> None:
    before, after = flat_images(0, 10, 200), flat_images(5, 10, 100)
    found = by_brightness()(before, after, batch_size)
    assert found.tolist() == [5, 0, 100] and found.dtype == torch.float32
    assert torch.equal(by_brightness()(before[:, :1], after[:, :1]), found)
    assert by_brightness()(before[:0], after[:0]).shape == (0,)


def test_wrong_images_and_counts_are_refused() -> None:
    distance, images = by_brightness(), flat_images(1, 2)
    with pytest.raises(DataError, match=r"\(2, 3, 4, 4\) and \(1, 3, 4, 4\)"):
        distance(images, images[:1])
    with pytest.raises(DataError, match="reads uint8"):
        distance(images.float(), images.float())
    with pytest.raises(DataError, match="no pairs among 1 images"):
        perceptual_diversity(images[:1], distance)
    with pytest.raises(ConfigError, match="0 pairs"):
        random_pairs(5, 0)
    small = PerceptualDistance(FourPoolings(), name="lpips", digest="0")
    with pytest.raises(DataError, match=r"cannot read images of shape \(2, 3, 4, 4\).*16×16"):
        small(images, images)


def test_lpips_reads_both_weights_from_the_folder_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = []

    def similarity(name: str, **settings: Any) -> nn.Module:
        caches.append((name, settings, torch.hub.get_dir()))
        return MeanDifference()

    library = SimpleNamespace(SampleSimilarityLPIPS=similarity)
    monkeypatch.setitem(sys.modules, "torch_fidelity", library)
    with pytest.raises(StorageError, match="no folder"):
        load_lpips(str(tmp_path / "absent"))
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for index, name in enumerate(("weights-vgg16-lpips.pth", "vgg16-397923af.pth")):
        torch.save({"weight": torch.full((1,), float(index))}, checkpoints / name)
    before = torch.hub.get_dir()
    distance = load_lpips(str(tmp_path))
    assert caches == [("lpips-vgg16", {"sample_similarity_dtype": "uint8"}, str(tmp_path))]
    assert torch.hub.get_dir() == before
    assert distance(flat_images(1), flat_images(4)).tolist() == [3]
    torch.save({"weight": torch.full((1,), 9.0)}, checkpoints / "vgg16-397923af.pth")
    assert load_lpips(str(tmp_path)).digest != distance.digest
    (checkpoints / "vgg16-397923af.pth").write_bytes(b"half")
    with pytest.raises(StorageError, match="truncated or not a checkpoint"):
        load_lpips(str(tmp_path))


def test_a_download_that_fails_names_the_place_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace())
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(StorageError, match=r"no route to host.*checkpoints/weights-vgg16-lpips"):
        load_lpips(str(tmp_path))


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingExtraError, match=r"LPIPS needs.*pip install 'deme\[eval\]'"):
        load_lpips()
