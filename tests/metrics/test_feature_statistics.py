from pathlib import Path

import numpy as np
import pytest
import torch

from deme.errors import DataError, ProtocolError, StorageError
from deme.metrics import FeatureStatistics, Protocol
from deme.metrics.statistics import CHUNK

PROTOCOL = Protocol("digits", "a" * 64, resize="none", reference_digest="b" * 64)


def random_features(count: int, dimensions: int = 5, offset: float = 3.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(count)
    mixing = torch.randn(dimensions, dimensions, generator=draw)
    return torch.randn(count, dimensions, generator=draw) @ mixing + offset


@pytest.mark.parametrize("count", [2, 7, CHUNK, CHUNK + 3])
def test_the_moments_are_numpys(count: int) -> None:
    features = random_features(count)
    found = FeatureStatistics.from_features(features)
    oracle = features.double().numpy()
    np.testing.assert_allclose(found.mean.numpy(), oracle.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        found.covariance.numpy(), np.cov(oracle, rowvar=False), rtol=1e-10, atol=1e-13
    )
    assert torch.equal(found.covariance, found.covariance.T)
    assert found.count == count and found.mean.dtype == torch.float64


def test_a_large_common_offset_costs_no_digits() -> None:
    features = random_features(100).double()
    near = FeatureStatistics.from_features(features)
    far = FeatureStatistics.from_features(features + 1e6)
    torch.testing.assert_close(far.covariance, near.covariance, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("cuts", [(2,), (10, 50), (40, 2, 30)])
def test_merged_parts_equal_one_pass(cuts: tuple[int, ...]) -> None:
    features = random_features(101) + torch.arange(101.0)[:, None]
    parts = features.split([*cuts, 101 - sum(cuts)])
    merged, *others = [FeatureStatistics.from_features(part, PROTOCOL) for part in parts]
    for other in others:
        merged = merged.merged(other)
    whole = FeatureStatistics.from_features(features, PROTOCOL)
    assert merged.count == 101
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.covariance, whole.covariance, rtol=1e-12, atol=1e-10)


def test_what_does_not_belong_together_is_not_merged() -> None:
    first = FeatureStatistics.from_features(random_features(9), PROTOCOL)
    with pytest.raises(ProtocolError, match="detector_digest"):
        first.merged(FeatureStatistics.from_features(random_features(9), Protocol("x", "c" * 64)))
    with pytest.raises(ProtocolError, match="5 and of 4 dimensions"):
        first.merged(FeatureStatistics.from_features(random_features(9, 4), PROTOCOL))
    with pytest.raises(DataError, match="unknown number"):
        first.merged(FeatureStatistics(first.mean, first.covariance, None, PROTOCOL))


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    saved = FeatureStatistics.from_features(random_features(20), PROTOCOL)
    path = tmp_path / "new folder" / "reference.npz"
    saved.save(path)
    loaded = FeatureStatistics.load(path)
    assert torch.equal(loaded.mean, saved.mean)
    assert torch.equal(loaded.covariance, saved.covariance)
    assert (loaded.count, loaded.protocol) == (20, PROTOCOL)
    assert [file.name for file in path.parent.iterdir()] == ["reference.npz"]


def test_the_file_is_in_pytorch_fids_layout(tmp_path: Path) -> None:
    saved = FeatureStatistics.from_features(random_features(20), PROTOCOL)
    saved.save(tmp_path / "reference.npz")
    with np.load(tmp_path / "reference.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["mu"], saved.mean.numpy())
        np.testing.assert_array_equal(archive["sigma"], saved.covariance.numpy())


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_pytorch_fids_own_files_load_with_an_unknown_protocol(
    tmp_path: Path, write: object
) -> None:
    path = tmp_path / "theirs.npz"
    assert callable(write)
    write(path, mu=np.zeros(3, np.float32), sigma=np.eye(3))
    loaded = FeatureStatistics.load(path)
    assert loaded.count is None and not loaded.protocol.known
    assert loaded.mean.dtype == torch.float64


@pytest.mark.parametrize("compressed", [False, True])
def test_every_truncation_is_a_storage_error(tmp_path: Path, compressed: bool) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "cut.npz"
    write = np.savez_compressed if compressed else np.savez
    write(whole, mu=np.random.default_rng(0).normal(size=30), sigma=np.eye(30))
    content = whole.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:length])
        with pytest.raises(StorageError, match=r"cut\.npz is truncated.*remove it"):
            FeatureStatistics.load(path)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_damage_within_a_file_is_a_storage_error(tmp_path: Path, write: object) -> None:
    path = tmp_path / "damaged.npz"
    assert callable(write)
    write(path, mu=np.random.default_rng(0).normal(size=30), sigma=np.eye(30))
    whole = path.read_bytes()
    for start in range(60, 320, 20):
        damage = bytes(byte ^ 0xFF for byte in whole[start : start + 20])
        path.write_bytes(whole[:start] + damage + whole[start + 20 :])
        with pytest.raises(StorageError, match="truncated or does not hold"):
            FeatureStatistics.load(path)


def test_a_file_without_the_arrays_says_which(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, mu=np.zeros(3))
    with pytest.raises(StorageError, match="no array 'sigma'"):
        FeatureStatistics.load(path)


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [(np.zeros(3), np.eye(4)), (np.full(3, np.nan), np.eye(3)), (np.array("x"), np.eye(3))],
    ids=["shapes", "nan", "text"],
)
def test_arrays_that_are_no_statistics(
    tmp_path: Path, mean: np.ndarray, covariance: np.ndarray
) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, mu=mean, sigma=covariance)
    with pytest.raises(StorageError, match="does not hold feature statistics"):
        FeatureStatistics.load(path)


def test_a_single_array_or_a_missing_file(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(StorageError, match="does not hold feature statistics"):
        FeatureStatistics.load(tmp_path / "single.npy")
    with pytest.raises(StorageError, match="no statistics at"):
        FeatureStatistics.load(tmp_path / "absent.npz")


def test_features_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match="1 images and at least 2"):
        FeatureStatistics.from_features(torch.zeros(1, 3))
    with pytest.raises(DataError, match=r"not \(3,\)"):
        FeatureStatistics.from_features(torch.zeros(3))
    broken = torch.zeros(4, 3)
    broken[2, 1] = torch.nan
    with pytest.raises(DataError, match="1 of 4 images are not finite"):
        FeatureStatistics.from_features(broken)
