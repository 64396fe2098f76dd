"""The tables of a comparison in every format: they hold the record's numbers and stay whole."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from deme.errors import StorageError
from deme.report import comparison_table
from deme.report.comparison import ComparisonRecord
from deme.report.comparison.comma_separated import arms_csv, values_csv
from deme.report.comparison.latex import comparison_latex, latex
from deme.report.comparison.markdown import comparison_markdown
from deme.report.comparison.tables import quality_tables
from report.fake_comparison import FakeComparison

ACTIVE = re.compile(r"(?<!\\)[#%&_^~<>|\"]")
"""What LaTeX does not set as it stands, where no backslash precedes it."""


def record(**settings: Any) -> ComparisonRecord:
    return ComparisonRecord.from_mapping(FakeComparison(**settings).record())


def balanced(text: str) -> bool:
    """Whether braces nest and formulas are closed, escaped ones aside."""
    bare = re.sub(r"\\[{}$\\]", "", text)
    depth = 0
    for letter in bare:
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return False
    return depth == 0 and bare.count("$") % 2 == 0


def rendered(folder: Path, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(comparison_table(folder))
    return console.export_text()


def test_every_value_is_a_row_of_the_csv() -> None:
    given_record = FakeComparison().record()
    rows = list(csv.DictReader(io.StringIO(values_csv(record()))))
    assert len(rows) == 14 * 3 * 5 * 2 * 4
    for row in rows[:: len(rows) // 50]:
        series = given_record["arms"][row["arm"]]["values"][row["detector"]][row["metric"]]
        training = given_record["seeds"]["training"].index(int(row["training_seed"]))
        noise = given_record["seeds"]["noise"].index(int(row["noise_seed"]))
        assert float(row["value"]) == series[training][noise]


def test_the_csv_of_arms_holds_costs_and_settings() -> None:
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(arms_csv(record())))}
    given_record = FakeComparison().record()
    assert list(rows) == list(given_record["arms"])
    for name, arm in given_record["arms"].items():
        assert int(rows[name]["training_images"]) == arm["training_images"]
        assert float(rows[name]["flops_per_sample"]) == arm["flops_per_sample"]
        chosen = arm["chosen"] or {"learning_rate": None}
        assert rows[name]["learning_rate"] == str(chosen["learning_rate"] or "")


def test_the_best_mean_of_each_column_is_marked_and_only_it() -> None:
    for table in quality_tables(record()):
        for column, heading in enumerate(table.columns):
            cells = [row.cells[column] for row in table.rows]
            found = [cell for cell in cells if cell is not None]
            means = [cell.number.mean for cell in found]
            best = max(means) if "↑" in heading else min(means)
            assert [cell.number.mean for cell in found if cell.best] == [best]


def test_markdown_rows_have_as_many_cells_as_their_heads() -> None:
    lines = comparison_markdown(record()).splitlines()
    widths = [len(line.split(" | ")) for line in lines if line.startswith("|")]
    assert len(set(widths)) == 2  # the quality tables, and the costs
    assert sum(line.startswith("| **DeMe, merged**") for line in lines) == 2
    assert sum("floor" in line for line in lines) == 2


def test_markdown_survives_a_bar_and_a_line_break() -> None:
    changed = FakeComparison(detectors=("digits",), metrics=("frechet",)).record()
    changed["arms"]["plain"]["title"] = "joint | all\nt"
    text = comparison_markdown(ComparisonRecord.from_mapping(changed))
    assert "| joint \\| all t |" in text


def test_latex_tables_are_whole() -> None:
    text = comparison_latex(record())
    assert balanced(re.sub(r"^%.*$", "", text, flags=re.MULTILINE))
    begun, ended = re.findall(r"\\begin\{(\w+)\}", text), re.findall(r"\\end\{(\w+)\}", text)
    assert begun == ["table", "tabular"] * 2
    assert ended == ["tabular", "table"] * 2
    columns = {len(spec) for spec in re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)}
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == columns == {8}
    assert len(rows) == 2 * (1 + 16 + 1)


def test_latex_has_the_numbers_the_bold_best_and_the_protocol() -> None:
    read = record()
    text = comparison_latex(read)
    number = read.arms["deme"].metrics["digits"]["frechet"]
    shown = rf"{number.mean:.3f} $\pm$ {number.deviation:.3f}"
    assert rf"\textbf{{DeMe, merged}} & \textbf{{{shown}}}" in text
    assert r"DDIM 20 steps $\cdot$ seeds 1000" in text
    assert r"Min-SNR-$\gamma$" in text


def test_latex_keeps_no_letter_that_pdflatex_cannot_read() -> None:
    assert {letter for letter in comparison_latex(record()) if ord(letter) > 127} <= {"é"}


@given(st.text(st.characters(exclude_characters="\u00a0")))  # it becomes an active ~
def test_any_text_is_escaped(text: str) -> None:
    shown = latex(text)
    assert balanced(shown)
    commands = re.sub(r"\$[^$]*\$|\\text\w+\{\}", "", re.sub(r"\\[$]", "", shown))
    assert not ACTIVE.search(commands)


def test_a_title_of_nothing_but_commands_stays_text() -> None:
    attack = r"\input{/etc/passwd} % & $x^2$ #1 ~ _ [a] \\"
    changed = FakeComparison(detectors=("digits",), metrics=("frechet",)).record()
    changed["arms"]["plain"]["title"] = attack
    text = comparison_latex(ComparisonRecord.from_mapping(changed))
    assert r"\input" not in text
    assert balanced(re.sub(r"^%.*$", "", text, flags=re.MULTILINE))


def test_the_terminals_table_has_a_line_for_each_arm_and_the_verdict(tmp_path: Path) -> None:
    folder = FakeComparison().write(tmp_path / "c")
    text = rendered(folder, 120)
    read = record()
    for arm in read.arms.values():
        assert sum(line.strip().startswith(arm.title) for line in text.splitlines()) >= 2
    difference = read.arms["p2"].against["digits"]["frechet"]
    assert f"−{-difference.mean:.3f} (−{-difference.low:.3f} to −{-difference.high:.3f})" in text
    assert "OMS-DPM ×6" in text
    assert text.count("pending") == 4
    assert "is first of 14 arms" in text


def test_eighty_columns_hold_two_metrics_unbroken(tmp_path: Path) -> None:
    folder = FakeComparison(metrics=("frechet", "recall")).write(tmp_path / "c")
    lines = rendered(folder, 80).splitlines()
    assert max(map(len, lines)) <= 80
    line = next(line for line in lines if line.strip().startswith("joint finetuning"))
    assert re.search(r"\d ±0\.\d+ +−\d\.\d+ \(−\d\.\d+ to −\d\.\d+\) +0\.\d+ *$", line)


def test_the_terminals_table_fills_from_the_first_arm_on(tmp_path: Path) -> None:
    missing = tuple(name for name in FakeComparison().record()["arms"] if name != "pretrained")
    folder = FakeComparison(missing=missing).write(tmp_path / "c")
    text = rendered(folder, 120)
    assert text.count("pending") == 2 * len(missing)
    assert "has not been judged yet" in text


def test_a_comparison_without_a_record_has_no_table(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="deme compare"):
        comparison_table(tmp_path)


def test_a_metric_that_an_arm_lacks_is_a_dash(tmp_path: Path) -> None:
    folder = FakeComparison(detectors=("digits",)).write(tmp_path / "c")
    changed = json.loads((folder / "compare.json").read_text("utf-8"))
    for part in ("values", "metrics", "against"):
        del changed["arms"]["plain"][part]["digits"]["kid"]
    (folder / "compare.json").write_text(json.dumps(changed), "utf-8")
    line = next(x for x in rendered(folder, 120).splitlines() if x.strip().startswith("joint"))
    assert "–" in line.split()
