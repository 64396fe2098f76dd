import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from deme.errors import StorageError
from deme.report import write_model_card
from deme.report.card import without_paths

RunWriter = Callable[..., Path]


def front_matter(card: Path) -> dict[str, object]:
    return yaml.safe_load(card.read_text("utf-8").split("---\n")[1])


def test_the_hub_reads_the_card_and_its_results(write_run: RunWriter) -> None:
    run = write_run(model="google/ddpm-cifar10-32", dataset="uoft-cs/cifar10")
    path = write_model_card(run)
    assert path == run / "merged" / "README.md"
    data = ModelCard.load(path).data
    assert isinstance(data, ModelCardData)
    assert data.library_name == "diffusers"
    assert data.base_model == ["google/ddpm-cifar10-32"]
    assert data.to_dict()["base_model_relation"] == "merge"
    assert {"deme", "decouple-then-merge", "diffusion", "merge"} <= set(data.tags or [])
    assert data.datasets == ["uoft-cs/cifar10"]
    assert data.license is None
    metrics = json.loads((run / "metrics.json").read_text())
    values = [result.metric_value for result in data.eval_results or []]
    arm = metrics["arms"]["merged"]["metrics"]
    assert values == [arm[d][m]["mean"] for d in metrics["detectors"] for m in metrics["metrics"]]


def test_the_body_tells_how_to_load_what_was_merged_and_whom_to_cite(
    write_run: RunWriter,
) -> None:
    run = write_run()
    text = write_model_card(run).read_text("utf-8")
    assert "DiffusionPipeline.from_pretrained" in text
    assert "inherited from the base model" in text
    assert "arXiv:2410.06664" in text
    assert json.loads((run / "metrics.json").read_text())["protocol"] in text
    recipe = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert recipe is not None
    assert yaml.safe_load(recipe[1]) == yaml.safe_load((run / "merged/recipe.yaml").read_text())
    assert "| **merged (searched)** |" in text


def test_no_path_of_this_machine_is_in_the_card(write_run: RunWriter, tmp_path: Path) -> None:
    model = tmp_path / "models" / "my-ddpm"
    run = write_run(model=str(model), dataset=str(tmp_path / "images"))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["protocol"] += f" · detector {tmp_path}/features/inception.pt"
    (run / "metrics.json").write_text(json.dumps(metrics))
    card = write_model_card(run)
    text = card.read_text("utf-8")
    assert str(tmp_path) not in text
    assert front_matter(card)["base_model"] == ["my-ddpm"]
    assert "detector inception.pt" in text
    assert "datasets" not in front_matter(card)


def test_the_same_run_elsewhere_and_at_another_time_gives_the_same_bytes(
    write_run: RunWriter, tmp_path: Path
) -> None:
    first = write_run()
    second = first.rename(tmp_path / "elsewhere")
    text = write_model_card(second).read_bytes()
    (second / "timings.json").write_text('{"stages": []}')
    (second / "environment.json").unlink()
    assert write_model_card(second).read_bytes() == text


def test_a_bundled_data_set_is_no_hub_id(write_run: RunWriter) -> None:
    assert "datasets" not in front_matter(write_model_card(write_run(dataset="digits")))


def test_a_local_folder_that_looks_like_a_hub_id_is_none(
    write_run: RunWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "cats").mkdir(parents=True)
    assert "datasets" not in front_matter(write_model_card(write_run(dataset="data/cats")))


def test_a_merge_without_evaluation_has_a_card_without_results(write_run: RunWriter) -> None:
    run = write_run()
    (run / "metrics.json").unlink()
    card = write_model_card(run)
    assert "model-index" not in front_matter(card)
    assert "has not been evaluated" in card.read_text("utf-8")


def test_without_a_merge_there_is_nothing_to_describe(write_run: RunWriter) -> None:
    run = write_run()
    (run / "merged" / "recipe.yaml").unlink()
    (run / "merged").rmdir()
    with pytest.raises(StorageError, match="deme merge"):
        write_model_card(run)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at /home/ann/models/ddpm, seeds", "at ddpm, seeds"),
        ("'/data/x.pt'", "'x.pt'"),
        ("~/models/ddpm/", "ddpm"),
        (r"C:\Users\ann\ddpm", "ddpm"),
        ("https://hub.co/org/name", "https://hub.co/org/name"),
        ("experts/t0000-0250 and ../up/x", "experts/t0000-0250 and ../up/x"),
        ("1/N, ‖τ‖ / ‖θ‖, a \\| b", "1/N, ‖τ‖ / ‖θ‖, a \\| b"),
    ],
)
def test_only_absolute_paths_are_shortened(text: str, expected: str) -> None:
    assert without_paths(text) == expected
