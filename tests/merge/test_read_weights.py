import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deme.decouple import attach_projections
from deme.denoisers import Denoiser
from deme.errors import DemeError, ModelError, StorageError
from deme.merge import StateDict, read_weights

TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5])}


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_pipeline_its_component_and_its_file_are_the_same_weights(base: Denoiser) -> None:
    folder = Path(base.name)
    expected = StateDict(base.weights(), "").digest()
    for path in (
        folder,
        folder / "unet",
        folder / "unet" / "diffusion_pytorch_model.safetensors",
    ):
        weights = read_weights(path)
        assert weights.digest() == expected and weights.origin == str(path)


@pytest.mark.parametrize("suffix", ["bin", "pt", "ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_checkpoint_of_plain_tensors(
    tmp_path: Path, suffix: str, zipped: bool, nested: bool
) -> None:
    file = tmp_path / f"weights.{suffix}"
    saved = {"state_dict": TENSORS, "epoch": 3} if nested else TENSORS
    torch.save(saved, file, _use_new_zipfile_serialization=zipped)
    assert read_weights(file).digest() == StateDict(TENSORS, "").digest()


def test_a_component_folder_with_a_bin_file(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    torch.save(TENSORS, tmp_path / "unet" / "diffusion_pytorch_model.bin")
    assert read_weights(tmp_path).digest() == StateDict(TENSORS, "").digest()


def test_parameters_are_read_as_tensors(tmp_path: Path) -> None:
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "w.pt")
    assert not read_weights(tmp_path / "w.pt")["w"].requires_grad


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "executed", tmp_path / "weights.bin"
    torch.save({"w": Malicious(mark)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"not a checkpoint of plain tensors.*safetensors"):
        read_weights(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)  # the file is malicious indeed
    assert mark.exists()


def test_a_bare_malicious_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    mark, file = tmp_path / "executed", tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps({"state_dict": Malicious(mark)}))
    with pytest.raises(ModelError, match="not a checkpoint of plain tensors"):
        read_weights(file)
    assert not mark.exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ModelError, match="not a checkpoint of plain tensors"):
        read_weights(tmp_path / "module.pt")


@pytest.mark.parametrize("saved", [[torch.zeros(1)], {"w": 3}, {0: torch.zeros(1)}])
def test_other_plain_content_is_refused(tmp_path: Path, saved: object) -> None:
    torch.save(saved, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="not a plain dictionary of tensors"):
        read_weights(tmp_path / "weights.pt")


def test_a_truncated_safetensors_file_is_named_at_every_length(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(TENSORS, file)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"weights\.safetensors is truncated"):
            read_weights(file)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint_never_ends_in_a_traceback(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "weights.bin"
    torch.save(TENSORS, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 5):
        file.write_bytes(whole[:length])
        with pytest.raises(DemeError, match=r"weights\.bin is (truncated|not a checkpoint)"):
            read_weights(file)


def test_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DemeError, match=r"weights\.bin is (truncated or )?not a checkpoint"):
        read_weights(tmp_path / "weights.bin")


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_nothing_to_read_says_what_is_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as raised:
        read_weights(tmp_path / name)
    assert str(raised.value) == (
        f"No weights found at {tmp_path / name}. "
        "Choices: <folder>/unet/diffusion_pytorch_model.safetensors, "
        "<folder>/transformer/diffusion_pytorch_model.safetensors. "
        "Fix: give a diffusers pipeline folder or a weights file."
    )


def test_projections_beside_a_pipeline_are_part_of_its_weights(
    base: Denoiser, tmp_path: Path
) -> None:
    """Left out, the merge of the paper's experts would silently miss them."""
    attach_projections(base, "block")
    (tmp_path / "projected").mkdir()
    base.save(tmp_path / "projected")
    expected = StateDict(base.weights(), "")
    assert any("projection" in name for name in expected)
    for path in (tmp_path / "projected", tmp_path / "projected" / "unet"):
        assert read_weights(path).digest() == expected.digest()


def test_a_loader_of_both_orders_reads_the_same(make_expert: Callable[[str, int], Path]) -> None:
    folder = make_expert("e1", 1)
    weights = read_weights(folder)
    save_file(dict(reversed(list(weights.items()))), folder / "again.safetensors")
    assert read_weights(folder / "again.safetensors").digest() == weights.digest()
