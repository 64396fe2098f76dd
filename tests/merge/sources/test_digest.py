from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import xxhash
from safetensors.torch import load_file, save_file
from torch import Tensor

from deme.merge.sources.contract import TensorInfo
from deme.merge.sources.digest import (
    TensorDigests,
    combine_digests,
    digest_model,
    digest_source,
    digest_weights,
)
from deme.merge.sources.opening import open_expert, open_model
from deme.merge.sources.tensor_files import open_tensor_file
from merge.sources.conftest import Saved
from merge.sources.tiny_adapters import kohya_adapter

MakeSaved = Callable[..., Saved]


def state() -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(0)
    dtypes = (torch.float32, torch.float16, torch.bfloat16, torch.int64)
    found = {f"{d}": (9 * torch.randn(5, 7, generator=draws)).to(d) for d in dtypes}
    return found | {"scalar": torch.tensor(3.0), "empty": torch.empty(0, 2)}


def layout(tensors: dict[str, Tensor]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()}


def digest(tensors: dict[str, Tensor], block: int = 1000) -> str:
    digests = TensorDigests()
    for name, tensor in tensors.items():
        for piece in tensor.flatten().split(block):
            digests.update(name, piece)
    return digests.combined(layout(tensors))


def test_a_tensors_bytes_are_hashed_as_the_library_hashes_them() -> None:
    tensor = torch.arange(10.0)
    whole = xxhash.xxh3_128()
    whole.update(repr(("w", "torch.float32", (10,))).encode())
    whole.update(xxhash.xxh3_128(tensor.numpy().tobytes()).digest())
    assert digest({"w": tensor}) == f"xxh3-128:{whole.hexdigest()}"


@pytest.mark.parametrize("block", [1, 3, 12, 1000])
def test_neither_blocks_nor_order_count(block: int) -> None:
    expected = digest(state())
    assert re.fullmatch(r"xxh3-128:[0-9a-f]{32}", expected)
    assert digest(dict(reversed(state().items())), block) == expected


def test_the_form_of_the_file_does_not_count(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "a.safetensors")
    torch.save(dict(reversed(state().items())), tmp_path / "a.bin")
    found = {
        digest_weights(open_tensor_file(tmp_path / name)) for name in ("a.safetensors", "a.bin")
    }
    assert found == {digest(state())}


def changes() -> dict[str, dict[str, Tensor]]:
    base = state()
    flipped = base["torch.float16"].clone()
    flipped.view(torch.int16)[4, 6] ^= 1
    return {
        "one bit": {**base, "torch.float16": flipped},
        "a shape": {**base, "torch.float32": base["torch.float32"].reshape(7, 5)},
        "a dtype": {**base, "torch.float32": base["torch.float32"].view(torch.int32)},
        "a name": {**{n: t for n, t in base.items() if n != "scalar"}, "other": base["scalar"]},
        "one less": {n: t for n, t in base.items() if n != "empty"},
        "two swapped": {
            **base,
            "torch.float16": base["torch.bfloat16"].view(torch.float16),
            "torch.bfloat16": base["torch.float16"].view(torch.bfloat16),
        },
    }


@pytest.mark.parametrize("change", changes())
def test_every_change_counts(change: str) -> None:
    assert digest(changes()[change]) != digest(state())


def test_tensors_come_from_several_threads() -> None:
    tensors = {f"{i}": torch.full((1000,), float(i)) for i in range(64)}
    digests = TensorDigests()

    def add(names: list[str]) -> None:
        for name in names:
            for piece in tensors[name].split(10):
                digests.update(name, piece)

    threads = [threading.Thread(target=add, args=([*tensors][i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests.combined(layout(tensors)) == digest(tensors)


def test_a_tensor_that_was_not_seen_is_no_hash() -> None:
    with pytest.raises(KeyError):
        TensorDigests().combined({"w": TensorInfo((2,), torch.float32)})


def test_an_adapter_is_hashed_by_its_files(saved: MakeSaved, tmp_path: Path) -> None:
    kohya_adapter("1", tmp_path / "lora.safetensors")
    base = open_model(saved("1").folder)

    def found() -> str:
        return digest_source(open_expert(tmp_path / "lora.safetensors", base).components["unet"])

    first = found()
    assert first == found()
    changed = load_file(tmp_path / "lora.safetensors")
    next(iter(changed.values())).view(-1)[0] += 1
    save_file(changed, tmp_path / "lora.safetensors")
    assert found() != first


def test_a_models_hash_is_that_of_its_components(saved: MakeSaved) -> None:
    model = open_model(saved("1").folder)
    parts = {name: digest_source(source) for name, source in model.components.items()}
    assert digest_model(model) == combine_digests(parts)
    assert combine_digests(dict(reversed(parts.items()))) == digest_model(model)
    assert digest_model(open_model(saved("1", seed=7).folder)) != digest_model(model)
    renamed = {f"{name}_2": part for name, part in parts.items()}
    assert combine_digests(renamed) != digest_model(model)
