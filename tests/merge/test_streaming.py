import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from deme.errors import ModelError
from deme.merge.sources.contract import TensorInfo
from deme.merge.streaming import OutputFiles, default_workers, set_metadata, write_tensors

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]


def tensors_of(count: int = 40) -> dict[str, Tensor]:
    made = {}
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        shape = [(), (7,), (3, 5), (2, 3, 3, 3), (0, 4), (1000, 33)][index % 6]
        values = torch.randn(shape, generator=generator) * 10
        made[f"layer.{index}.weight"] = values.to(DTYPES[index % len(DTYPES)])
    return made


def layout_of(tensors: dict[str, Tensor]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in sorted(tensors.items())}


def in_pieces(tensor: Tensor, size: int = 1000) -> Iterator[Tensor]:
    yield from tensor.flatten().split(size)


def plan(folder: Path, tensors: dict[str, Tensor], shard: int = 10**9) -> OutputFiles:
    return OutputFiles.plan(
        folder, layout_of(tensors), stem="diffusion_pytorch_model", max_shard_bytes=shard
    )


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_written_in_pieces_is_read_whole(tmp_path: Path, workers: int) -> None:
    tensors = tensors_of()
    written: list[int] = []
    paths = write_tensors(
        plan(tmp_path, tensors),
        lambda name: in_pieces(tensors[name]),
        workers=workers,
        progress=written.append,
    )
    assert paths == [tmp_path / "diffusion_pytorch_model.safetensors"]
    found = load_file(paths[0])
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert sum(written) == sum(tensor.nbytes for tensor in tensors.values())


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    tensors = tensors_of()
    found = []
    for workers in (1, 4):
        folder = tmp_path / str(workers)
        folder.mkdir()
        [path] = write_tensors(
            plan(folder, tensors), lambda name: in_pieces(tensors[name]), workers=workers
        )
        found.append(path.read_bytes())
    assert found[0] == found[1]


def test_shards_and_their_index_are_as_diffusers_writes_them(tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )
    unet.save_pretrained(tmp_path / "theirs", max_shard_size="200KB")
    tensors = unet.state_dict()
    (tmp_path / "ours").mkdir()
    layout = {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()}
    files = OutputFiles.plan(
        tmp_path / "ours", layout, stem="diffusion_pytorch_model", max_shard_bytes=200_000
    )
    write_tensors(files, lambda name: in_pieces(tensors[name]))
    name = "diffusion_pytorch_model.safetensors.index.json"
    theirs, ours = (json.loads((tmp_path / who / name).read_text()) for who in ("theirs", "ours"))
    assert ours["weight_map"] == theirs["weight_map"]
    assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    for file in set(ours["weight_map"].values()):
        mine, other = load_file(tmp_path / "ours" / file), load_file(tmp_path / "theirs" / file)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in mine)


def test_a_variant_is_named_as_diffusers_names_it(tmp_path: Path) -> None:
    layout = layout_of(tensors_of())
    files = OutputFiles.plan(
        tmp_path, layout, stem="model", variant="fp16", max_shard_bytes=100_000
    )
    assert files.index_name == "model.safetensors.index.fp16.json"
    assert min(files.shards).startswith("model.fp16-00001-of-")


def test_metadata_goes_into_the_room_that_was_kept(tmp_path: Path) -> None:
    tensors = tensors_of(6)
    [path] = write_tensors(
        plan(tmp_path, tensors), lambda name: in_pieces(tensors[name]), metadata_room=100
    )
    size = path.stat().st_size
    set_metadata(path, {"recipe": "ü" * 10})
    assert path.stat().st_size == size
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt", "recipe": "ü" * 10}
    assert all(torch.equal(load_file(path)[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(ModelError, match="no room for"):
        set_metadata(path, {"recipe": "x" * 500})


def test_one_failure_stops_the_others_and_is_what_is_raised(tmp_path: Path) -> None:
    tensors = tensors_of(60)
    begun: list[str] = []

    def produce(name: str) -> Iterator[Tensor]:
        begun.append(name)
        if name == "layer.10.weight":
            raise ModelError("broken")
        time.sleep(0.01)
        return in_pieces(tensors[name])

    with pytest.raises(ModelError, match="broken"):
        write_tensors(plan(tmp_path, tensors), produce, workers=2)
    assert len(begun) < 30


def test_a_tensor_that_comes_out_short_is_an_error(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(10)}
    with pytest.raises(ModelError, match="a came out 8 bytes short"):
        write_tensors(plan(tmp_path, tensors), lambda name: iter([torch.zeros(8)]))


def test_tensors_that_take_much_memory_are_made_one_after_another(tmp_path: Path) -> None:
    tensors = {str(index): torch.zeros(4) for index in range(6)}
    making, most, lock = 0, 0, threading.Lock()

    def produce(name: str) -> Iterator[Tensor]:
        nonlocal making, most
        with lock:
            making += 1
            most = max(most, making)
        time.sleep(0.01)
        yield tensors[name]
        with lock:
            making -= 1

    def run(nbytes: int, folder: str) -> int:
        nonlocal most
        most = 0
        (tmp_path / folder).mkdir()
        write_tensors(
            plan(tmp_path / folder, tensors), produce, workers=3, memory=lambda name: nbytes
        )
        return most

    assert run(2**30, "large") == 1
    assert run(2**10, "small") == 3


def test_torch_has_its_threads_again_afterwards(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    tensors = tensors_of(3)
    write_tensors(plan(tmp_path, tensors), lambda name: in_pieces(tensors[name]), workers=2)
    assert torch.get_num_threads() == before
    assert 1 <= default_workers() <= 8
