from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor

from deme.merge.inspection import Inspection, inspect_models
from deme.merge.inspection.tables import inspection_tables
from merge.models_in_memory import BLOCKS, Weights, model, moved, random_weights


def text_of(inspection: Inspection, width: int = 100) -> str:
    stream = StringIO()
    Console(file=stream, width=width, color_system=None).print(inspection_tables(inspection))
    return stream.getvalue()


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.replace("mid_block", "single_transformer_blocks.37"): tensor
        for name, tensor in tensors.items()
    }


def test_tables_fit_into_100_columns() -> None:
    base = random_weights(0)
    origins = ["runs/a/t0000-0250", "runs/a/t0250-0500", "a-name-of-some-length", "runs/b/e4"]
    sources = [
        model(origin, unet=Weights(renamed(moved(base, seed))))
        for seed, origin in enumerate(origins, start=1)
    ]
    found = inspect_models(model("hub/base-model", unet=Weights(renamed(base))), sources)
    lines = text_of(found).splitlines()
    for words in (
        ["single_transformer_blocks.37", "%"],
        ["1 t0000-0250", "%"],
        ["3 a-name-of-some-length", "%"],
        ["all", "%"],
    ):
        assert any(all(word in line for word in words) for line in lines), words
    assert max(map(len, lines)) <= 100


def test_the_table_of_one_model_shows_its_blocks_and_what_is_broken() -> None:
    base = random_weights(0)
    base["conv_in.weight"][0, 0, 0, 0] = float("nan")
    lines = text_of(inspect_models(model("b", unet=Weights(base)))).splitlines()
    assert "b (pipeline)" in lines
    assert any(line.split()[:1] == ["unet"] and line.endswith(" 1 NaN") for line in lines)
    shown = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in BLOCKS]
    assert shown == BLOCKS


Deme = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_command_line_tells_of_pipelines_on_disk(
    deme: Deme, make_pipeline: Callable[..., Path], make_expert: Callable[[str, int], Path]
) -> None:
    base, experts = make_pipeline(), [make_expert("one", 1), make_expert("two", 2)]
    code, out, err = deme("inspect", str(base), *map(str, experts), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [entry["model"] for entry in found["models"]] == [str(base), *map(str, experts)]
    component = found["models"][0]["components"]["unet"]
    assert component["class"] == "UNet2DModel" and component["nan"] == 0
    file = "unet/diffusion_pytorch_model.safetensors"
    theta, theirs = load_file(base / file), load_file(experts[1] / file)
    tau = torch.cat([(theirs[n] - theta[n]).flatten() for n in theta])
    assert found["comparison"]["unet"]["norms"][1] == pytest.approx(float(tau.norm()), rel=1e-5)
    code, out, err = deme("inspect", str(base), *map(str, experts))
    assert (code, err) == (0, "")
    assert "UNet2DModel" in out and "down_blocks.0" in out and "two" in out


def test_the_command_line_says_what_does_not_fit(
    deme: Deme, make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    wider = make_pipeline("wider", width=12)
    code, out, err = deme("inspect", str(make_pipeline()), str(wider))
    assert code == 1 and out == "" and err.startswith("error: ") and "wider" in err
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    assert deme("inspect", str(tmp_path / "absent"))[0] == 1
