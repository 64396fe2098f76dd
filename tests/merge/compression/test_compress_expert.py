import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from deme.errors import ConfigError, DemeError, MismatchError, StorageError
from deme.merge.compression import (
    CompressedComponent,
    compress_expert,
    is_compressed,
    open_compressed,
    open_for_base,
)
from deme.merge.compression import index as index_module
from deme.merge.difference import difference
from deme.merge.sources.contract import DeltaSource, ModelSource, TensorInfo
from merge.compression.memory_model import (
    MemoryWeights,
    finetuned,
    model,
    relative_error,
    same_bits,
)

Tensors = dict[str, Tensor]


def network(seed: int = 0) -> tuple[Tensors, Tensors]:
    """A base and an expert of it: matrices, small tensors, and what training leaves alone."""
    shapes = {"conv.weight": (40, 30, 3, 3), "proj.weight": (90, 120), "norm.bias": (40,)}
    pairs = {name: finetuned(shape, seed + i) for i, (name, shape) in enumerate(shapes.items())}
    base = {name: pair[0] for name, pair in pairs.items()}
    expert = {name: pair[1] for name, pair in pairs.items()}
    base["time.weight"] = expert["time.weight"] = torch.randn(64, 64)
    base["positions"] = expert["positions"] = torch.arange(77)
    base["scale"], expert["scale"] = torch.tensor(1.5), torch.tensor(1.501)
    return base, expert


@pytest.fixture
def compress(tmp_path: Path) -> Callable[..., dict[str, CompressedComponent]]:
    """Compresses a pair of networks and opens the file, ``expert.safetensors``."""

    def call(
        base: Tensors, expert: Tensors, max_error: float | None = None
    ) -> dict[str, CompressedComponent]:
        path = tmp_path / "expert.safetensors"
        compress_expert(
            model("the base", unet=base), model("e", unet=expert), path, max_error=max_error
        )
        return dict(open_compressed(path))

    return call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_bit_comes_back(compress: Callable[..., dict], dtype: torch.dtype) -> None:
    base, expert = network()
    expert = {n: t.to(dtype) if t.is_floating_point() else t for n, t in expert.items()}
    expert["norm.bias"][:4] = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0]).to(dtype)
    part = compress(base, expert)["unet"]
    assert set(part.stored) == set(expert)
    for name, tensor in expert.items():
        assert part.stored[name] == TensorInfo(tuple(tensor.shape), tensor.dtype)
        assert same_bits(part.restore(name, base[name]), tensor)
    assert part.error == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("max_error", [None, 0.1])
def test_a_merge_reads_the_difference(
    compress: Callable[..., dict], dtype: torch.dtype, max_error: float | None
) -> None:
    base, expert = network()
    expert = {n: t.to(dtype) if t.is_floating_point() else t for n, t in expert.items()}
    part = compress(base, expert, max_error)["unet"]
    assert set(part.layout) == {"conv.weight", "proj.weight", "norm.bias", "scale"}
    for name in part.layout:
        tau = difference(expert[name], base[name])
        found = part.read_delta(name, base[name])
        assert found.dtype == torch.float32 and found.shape == tau.shape
        if max_error is None:
            assert torch.equal(found, tau)
        else:
            assert relative_error(found, tau) <= max_error * (1 + 1e-6)


def test_the_stated_error_is_that_of_all_tensors_together(compress: Callable[..., dict]) -> None:
    base, expert = network()
    part = compress(base, expert, 0.2)["unet"]
    changed = list(part.layout)
    tau = torch.cat([(expert[n] - base[n]).flatten() for n in changed])
    found = torch.cat([part.read_delta(n, base[n]).flatten() for n in changed])
    assert part.error == pytest.approx(relative_error(found, tau), rel=1e-4)
    assert 0.1 < part.error <= 0.2
    assert part.expert.max_error == 0.2
    # adding τ̂ to θ rounds it as any float32 sum is rounded
    restored = part.restore("conv.weight", base["conv.weight"]) - base["conv.weight"]
    expected = part.read_delta("conv.weight", base["conv.weight"])
    assert torch.allclose(restored, expected, rtol=0, atol=2e-8)


def test_what_training_left_alone_costs_nothing(tmp_path: Path) -> None:
    draws = torch.Generator().manual_seed(0)
    base = {f"w{i}": torch.randn(100, 100, generator=draws) for i in range(50)}
    expert = {name: tensor.half() for name, tensor in base.items()}
    expert["w7"] = expert["w7"] * 1.5
    path = tmp_path / "one.safetensors"
    report = compress_expert(model("b", unet=base), model("e", unet=expert), path)
    assert report.components[0].changed == 1
    assert report.components[0].bytes_after < expert["w7"].nbytes
    assert path.stat().st_size - report.components[0].bytes_after < 3000
    assert list(open_compressed(path)["unet"].layout) == ["w7"]


def test_components_that_differ_are_kept_and_the_others_are_not(tmp_path: Path) -> None:
    base, expert = network()
    encoder = {"embedding": torch.randn(30, 20)}
    moved = {"embedding": encoder["embedding"] + 0.01}
    path = tmp_path / "e.safetensors"
    report = compress_expert(
        model("b", unet=base, text_encoder=encoder, vae=encoder),
        model("e", unet=expert, text_encoder=moved, vae=encoder),
        path,
    )
    assert [part.name for part in report.components] == ["text_encoder", "unet"]
    assert report.equal == ("vae",)
    assert set(open_compressed(path)) == {"text_encoder", "unet"}
    lines = "\n".join(report.lines())
    assert "4 of 6 tensors changed" in lines and "every bit" in lines and "base: vae" in lines


def test_a_component_in_another_precision_is_kept_as_that(tmp_path: Path) -> None:
    base, _ = network()
    expert = {n: t.half() if t.is_floating_point() else t for n, t in base.items()}
    path = tmp_path / "e.safetensors"
    compress_expert(model("b", unet=base), model("e", unet=expert), path)
    part = open_compressed(path)["unet"]
    assert not part.layout
    assert all(same_bits(part.restore(n, base[n]), expert[n]) for n in expert)


@pytest.mark.parametrize("max_error", [None, 0.05])
def test_the_same_expert_gives_the_same_bytes_however_many_work(
    tmp_path: Path, max_error: float | None
) -> None:
    base, expert = network()
    written = []
    for workers in (1, 1, 3):
        path = tmp_path / f"{len(written)}.safetensors"
        compress_expert(
            model("b", unet=base), model("e", unet=expert), path, max_error=max_error,
            workers=workers,
        )  # fmt: skip
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(
        model("org/base", unet=base), model("runs/experts/low", unet=expert), path,
        max_error=0.1, min_timestep=0, max_timestep=250,
    )  # fmt: skip
    with safe_open(path, framework="pt") as opened:
        said = json.loads(opened.metadata()["deme"])
    error = said["components"]["unet"].pop("error")
    assert 0.05 < error <= 0.1
    assert said == {
        "format_version": 1,
        "base_model": "org/base",
        "expert": "low",
        "min_timestep": 0,
        "max_timestep": 250,
        "max_error": 0.1,
        "components": {"unet": {}},
    }
    assert is_compressed(path) and not is_compressed(tmp_path)


def test_another_base_is_noticed(compress: Callable[..., dict]) -> None:
    base, expert = network()
    part = compress(base, expert)["unet"]
    other = base["proj.weight"].clone()
    other[3, 4] += 1e-6
    for wrong in (other, base["proj.weight"].half(), base["proj.weight"].T):
        for read in (part.read_delta, part.restore):
            with pytest.raises(MismatchError, match="give the base as the base"):
                read("proj.weight", wrong)
    with pytest.raises(MismatchError, match=r"time\.weight"):
        part.restore("time.weight", base["time.weight"] + 1)


def test_a_base_of_another_architecture_is_noticed(tmp_path: Path) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(model("the base", unet=base), model("e", unet=expert), path)
    opened = open_for_base(path, model("the base", unet=base, vae=base))
    assert isinstance(opened.components["unet"], DeltaSource) and opened.form == "adapter"
    narrow = {**base, "proj.weight": torch.ones(1)}
    for other in (model("b", vae=base), model("b", unet=narrow), model("b", unet={})):
        with pytest.raises(MismatchError, match="give the base as the base"):
            open_for_base(path, other)


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(model("b", unet=base), model("e", unet=expert), path, max_error=0.3)
    good = path.read_bytes()
    start = 8 + int.from_bytes(good[:8], "little")
    for position in [*range(start, len(good), 997), len(good) - 1]:
        bad = bytearray(good)
        bad[position] ^= 0x10
        path.write_bytes(bad)
        with pytest.raises(StorageError):
            part = open_compressed(path)["unet"]
            for name in part.layout:
                part.read_delta(name, base[name])


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_cut_file_is_noticed(tmp_path: Path, kept: int) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(model("b", unet=base), model("e", unet=expert), path)
    path.write_bytes(path.read_bytes()[:kept])
    assert not is_compressed(path)
    with pytest.raises(StorageError, match="truncated"):
        open_compressed(path)


def rewrite(path: Path, change: Callable[[dict, Tensors], None]) -> None:
    """Changes what a compressed file says; its tensors are whatever ``change`` makes of them."""
    with safe_open(path, framework="pt") as opened:
        metadata = dict(opened.metadata())
    said, tensors = json.loads(metadata["deme"]), load_file(path)
    change(said, tensors)
    save_file(tensors, path, {**metadata, "deme": json.dumps(said)})


def with_index(change: Callable[[dict], None]) -> Callable[[dict, Tensors], None]:
    def edit(said: dict, tensors: Tensors) -> None:
        index = json.loads(zlib.decompress(tensors["unet/index"].numpy().tobytes()))
        change(index["tensors"])
        packed = zlib.compress(json.dumps(index).encode())
        tensors["unet/index"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)

    return edit


HOSTILE: dict[str, Callable[[dict, Tensors], None]] = {
    "later version": lambda said, tensors: said.update(format_version=2),
    "no components": lambda said, tensors: said.pop("components"),
    "unknown key": lambda said, tensors: said.update(surprise=1),
    "path as component": lambda said, tensors: said["components"].update({"../up": {}}),
    "absent component": lambda said, tensors: said["components"].update({"vae": {}}),
    "no index": lambda said, tensors: tensors.__delitem__("unet/index"),
    "index of floats": lambda said, tensors: tensors.update({"unet/index": torch.ones(3)}),
    "index of noise": lambda said, tensors: tensors.update(
        {"unet/index": torch.arange(99, dtype=torch.uint8)}
    ),
    "index bomb": lambda said, tensors: tensors.update(
        {"unet/index": torch.frombuffer(bytearray(zlib.compress(b"[" * 2**21)), dtype=torch.uint8)}
    ),
    "deep index": lambda said, tensors: tensors.update(
        {"unet/index": torch.frombuffer(bytearray(zlib.compress(b"[" * 10**6)), dtype=torch.uint8)}
    ),
    "fewer bytes": with_index(lambda index: index["proj.weight"].update(nbytes=1)),
    "negative bytes": with_index(lambda index: index["proj.weight"].update(nbytes=-1)),
    "negative shape": with_index(lambda index: index["proj.weight"].update(shape=[-1, 3])),
    "no digest": with_index(lambda index: index["proj.weight"].pop("payload")),
    "unknown dtype": with_index(lambda index: index["proj.weight"].update(dtype="object")),
    "unknown coding": with_index(lambda index: index["proj.weight"].update(coding="magic")),
    "rounded integers": with_index(
        lambda index: index["positions"].update(
            coding="approximate", payload="0" * 16, dtype="int64"
        )
    ),
    "error that is none": with_index(lambda index: index["proj.weight"].update(error=-1)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_when_they_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(model("b", unet=base), model("e", unet=expert), path)
    rewrite(path, lambda said, tensors: None)
    open_compressed(path)
    monkeypatch.setattr(index_module, "LARGEST", 2**20)
    rewrite(path, HOSTILE[kind])
    with pytest.raises(StorageError) as caught:
        open_compressed(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600


def test_a_declared_size_allocates_nothing(tmp_path: Path) -> None:
    base, expert = network()
    path = tmp_path / "e.safetensors"
    compress_expert(model("b", unet=base), model("e", unet=expert), path)
    rewrite(path, with_index(lambda index: index["proj.weight"].update(shape=[10**9, 10**9])))
    with pytest.raises(MismatchError):
        open_compressed(path)["unet"].read_delta("proj.weight", base["proj.weight"])


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "deme-compressed-expert"}])
def test_other_safetensors_files_are_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(3)}, path, metadata)
    with pytest.raises(StorageError, match="not a compressed expert"):
        open_compressed(path)


class Adapter(DeltaSource):
    origin = "lora"
    layout: Mapping[str, TensorInfo] = MappingProxyType({})

    def read_delta(self, name: str, base: Tensor) -> Tensor:
        raise AssertionError


def refusals() -> dict[str, tuple[ModelSource, ModelSource, dict, type[DemeError], str]]:
    base, expert = network()
    whole, same = model("the base", unet=base), model("twin", unet=base)
    trained = model("e", unet=expert)
    renamed = {f"x.{name}": tensor for name, tensor in expert.items()}
    reshaped = {**expert, "proj.weight": expert["proj.weight"].T}
    whole_numbers = {**expert, "scale": torch.tensor(1)}
    adapter = ModelSource("lora", {"unet": Adapter()}, None, "adapter")
    foreign = ModelSource("e", {"vae": MemoryWeights(expert, "e")}, None, "component")
    return {
        "equal": (whole, same, {}, ConfigError, "there is nothing to keep"),
        "adapter": (whole, adapter, {}, ConfigError, "is an adapter"),
        "component": (whole, foreign, {}, MismatchError, "has no vae"),
        "names": (whole, model("e", unet=renamed), {}, MismatchError, "is not in the base"),
        "shapes": (whole, model("e", unet=reshaped), {}, MismatchError, r"shape \(90, 120\) in"),
        "kinds": (whole, model("e", unet=whole_numbers), {}, MismatchError, "unet/scale"),
        "error 0": (whole, trained, {"max_error": 0.0}, ConfigError, "max_error = 0.0"),
        "error 1": (whole, trained, {"max_error": 1.0}, ConfigError, "max_error = 1.0"),
        "range": (whole, trained, {"min_timestep": 5, "max_timestep": 5}, ConfigError, "empty"),
    }


@pytest.mark.parametrize("kind", refusals())
def test_what_cannot_be_compressed_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    base, expert, options, error, message = refusals()[kind]
    with pytest.raises(error, match=message):
        compress_expert(base, expert, tmp_path / "e.safetensors", **options)
    assert not list(tmp_path.iterdir())


def test_an_output_that_exists_or_is_misnamed_is_refused(tmp_path: Path) -> None:
    base, expert = network()
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    for path in (taken, tmp_path / "e.bin"):
        with pytest.raises(ConfigError, match=r"another --output|end it with"):
            compress_expert(model("b", unet=base), model("e", unet=expert), path)
    assert taken.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
