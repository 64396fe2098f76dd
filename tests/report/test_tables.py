import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from deme.errors import StorageError
from deme.report import results_markdown, results_table

RunWriter = Callable[..., Path]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_markdown_table_has_a_row_for_each_arm_and_the_floor_last(
    write_run: RunWriter,
) -> None:
    metrics = json.loads((write_run(detectors=("digits",)) / "metrics.json").read_text())
    lines = results_markdown(metrics).splitlines()
    head, rule, *rows = lines
    assert cells(head)[:3] == ["arm", "Fréchet distance ↓", "KID ↓"]
    assert "precision ↑" in head
    assert set(rule) <= set("| -:")
    assert [cells(row)[0].strip("*") for row in rows] == [
        "pretrained",
        "joint finetuning",
        "routed experts",
        "uniform merge",
        "merged (searched)",
        "floor: real against real",
    ]
    assert {len(cells(row)) for row in [head, rule, *rows]} == {8}


def test_the_markdown_numbers_are_the_files_own(write_run: RunWriter) -> None:
    metrics = json.loads((write_run() / "metrics.json").read_text())
    row = results_markdown(metrics).splitlines()[4]
    number = metrics["arms"]["pretrained"]["metrics"]["digits"]["frechet"]
    difference = metrics["paired"]["digits"]["frechet"]["pretrained"]
    shown = f"{number['mean']:.2f} ± {number['std']:.2f}"
    assert f"{shown} (−{-difference['mean']:.2f} ± {difference['std']:.2f})" in row


def test_every_detector_has_its_table(write_run: RunWriter) -> None:
    metrics = json.loads((write_run() / "metrics.json").read_text())
    text = results_markdown(metrics)
    assert text.index("Features: digits") < text.index("Features: inception")
    assert text.count("| pretrained |") == 2


def test_a_bar_in_a_title_does_not_break_the_table(write_run: RunWriter) -> None:
    metrics = json.loads((write_run(detectors=("digits",)) / "metrics.json").read_text())
    metrics["arms"]["joint"]["title"] = "joint | all t"
    assert "| joint \\| all t |" in results_markdown(metrics)


def test_a_metric_that_an_arm_lacks_is_a_dash(write_run: RunWriter) -> None:
    metrics = json.loads((write_run(detectors=("digits",)) / "metrics.json").read_text())
    del metrics["arms"]["routed"]["metrics"]["digits"]["kid"]
    row = next(line for line in results_markdown(metrics).splitlines() if "routed" in line)
    assert cells(row)[2] == "–"


def test_the_terminals_table_shows_arms_numbers_and_the_floor(write_run: RunWriter) -> None:
    run = write_run()
    metrics = json.loads((run / "metrics.json").read_text())
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(results_table(run))
    text = console.export_text()
    number = metrics["arms"]["merged"]["metrics"]["digits"]["frechet"]
    assert f"{number['mean']:.2f} ±{number['std']:.2f}" in text
    assert "4 models, 1\u202f600 steps" in text
    assert "digits features" in text
    assert "inception features" in text
    assert text.count("floor ") >= 2
    assert "898 images, 3 seeds" in text


def test_eighty_columns_hold_the_table_of_two_metrics_unbroken(write_run: RunWriter) -> None:
    run = write_run(detectors=("digits",))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["metrics"] = ["frechet", "kid"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(run))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    for arm in metrics["arms"].values():
        number = arm["metrics"]["digits"]["frechet"]
        line = next(line for line in lines if line.strip().startswith(arm["title"]))
        assert f"{number['mean']:.2f} ±{number['std']:.2f}" in line


def test_a_run_that_was_not_evaluated_has_no_table(write_run: RunWriter) -> None:
    run = write_run()
    (run / "metrics.json").unlink()
    with pytest.raises(StorageError, match="deme evaluate"):
        results_table(run)
