"""``deme compress`` on pipelines on disk, there and back."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deme.denoisers import Denoiser, load_denoiser
from deme.files import write_json
from deme.merge.compression import open_compressed

Deme = Callable[..., tuple[int, str, str]]
WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")


@pytest.fixture
def compress(deme: Deme) -> Deme:
    """Runs ``deme compress``."""
    return lambda *words: deme("compress", *words)


def test_an_expert_comes_back_byte_for_byte(
    compress: Deme, base: Denoiser, make_expert: Callable[[str, int], Path], tmp_path: Path
) -> None:
    expert, file, again = make_expert("e", 1), tmp_path / "e.safetensors", tmp_path / "again"
    write_json(expert / "training.json", {"timesteps": [250, 500]})
    code, out, err = compress(base.name, expert, "-o", file)
    assert code == 0, err
    assert out.strip() == str(file) and "every bit" in err
    opened = open_compressed(file)["unet"].expert
    assert (opened.min_timestep, opened.max_timestep) == (250, 500)
    code, out, err = compress(base.name, file, "--expand", "-o", again)
    assert code == 0, err
    assert (again / WEIGHTS).read_bytes() == (expert / WEIGHTS).read_bytes()
    config = Path("unet/config.json")
    assert (again / config).read_bytes() == (Path(base.name) / config).read_bytes()
    assert (again / "model_index.json").is_file()


def test_a_stated_error_is_printed_and_kept(
    compress: Deme, make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    wide = make_pipeline("wide", width=64)
    draws = torch.Generator().manual_seed(0)
    ours = load_file(wide / WEIGHTS)
    expert = load_denoiser(wide)
    expert.load_weights(
        {n: t + 0.01 * torch.randn(t.shape, generator=draws) for n, t in ours.items()}
    )
    (tmp_path / "e").mkdir()
    expert.save(tmp_path / "e")
    file = tmp_path / "e.safetensors"
    code, _, err = compress(wide, tmp_path / "e", "-o", file, "--max-error", "0.1")
    assert code == 0, err
    part = open_compressed(file)["unet"]
    assert f"relative error {part.error:.4f}" in " ".join(err.split())
    assert 0.05 < part.error <= 0.1
    assert file.stat().st_size < (tmp_path / "e" / WEIGHTS).stat().st_size / 6


def test_wrong_input_ends_with_a_message(
    compress: Deme, base: Denoiser, make_expert: Callable[[str, int], Path], tmp_path: Path
) -> None:
    expert, file = make_expert("e", 1), tmp_path / "e.safetensors"
    assert compress(base.name, expert, "-o", file, "-q")[0] == 0
    for words, expected in (
        ((base.name, expert, "-o", file), 2),
        ((base.name, expert, "-o", tmp_path / "x.safetensors", "--max-error", "2"), 2),
        ((expert, file, "--expand", "-o", tmp_path / "x"), 1),
        ((base.name, expert / WEIGHTS, "--expand", "-o", tmp_path / "x"), 1),
    ):
        code, _, err = compress(*words)
        assert code == expected and "error: " in err, err
    assert not (tmp_path / "x").exists() and not (tmp_path / "x.safetensors").exists()
