"""What the report, the card and the terminal say of a search."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from deme.analysis import SearchRecord
from deme.report import results_table, search_lines, write_model_card
from deme.report.search_lines import search_line
from deme.report.search_text import SearchWords, objective_name, objective_title
from report.fake_search import search
from report.test_report import Reader, read

RunWriter = Callable[..., Path]
NAMES = ["t0000-0500", "t0500-1000"]
WEIGHTS = [0.6, -0.2]


def record(kind: str = "surface", **changes: Any) -> dict[str, Any]:
    return {**search(NAMES, WEIGHTS, kind), **changes}


def words(given: dict[str, Any]) -> SearchWords:
    return SearchWords(SearchRecord.from_mapping(given))


def against(difference: float, half: float) -> dict[str, Any]:
    zero = {"difference": difference, "low": difference - half, "high": difference + half}
    return {"standard_error": 0.4, "against_zero": zero}


def searched_only(run: Path) -> Path:
    """What `deme search` leaves: no evaluation, no baselines, no experts of its own."""
    for name in ("metrics.json", "validation.json"):
        (run / name).unlink()
    for name in ("samples", "joint", "experts"):
        shutil.rmtree(run / name)
    return run


@pytest.fixture
def only(write_run: RunWriter) -> Reader:
    return read(searched_only(write_run(experts=2)))


def test_a_run_that_was_only_searched_begins_with_the_fresh_score(only: Reader) -> None:
    assert "searched merge is better than the pretrained model: Fréchet distance 28.23" in only.text
    assert only.text.index("fresh noise") < only.text.index("Merging weights")
    assert "which this run has not had" in only.text


def test_a_run_that_was_only_searched_lists_what_it_lacks_at_its_end(only: Reader) -> None:
    assert "arms" not in only.ids
    assert "validation" not in only.ids
    body, heading, absent = only.text.partition("Not in this run")
    assert heading
    assert "not there yet" not in body
    assert absent.count("not there yet") >= 5
    assert [link for link in only.links if link.startswith("#") and link[1:] not in only.ids] == []


def test_no_sentence_stands_twice_on_the_page(only: Reader) -> None:
    assert only.text.count("On the noise that it was chosen on") == 1


def test_the_section_has_anchors_and_both_scores_of_winner_and_pretrained(
    write_run: RunWriter,
) -> None:
    run = write_run(experts=2, detectors=("digits",))
    found = json.loads((run / "search" / "result.json").read_text())
    text = read(run).text
    for title in ("pretrained", "0–500 alone", "500–1000 alone", "uniform", "all 1"):
        assert title in text
    for value in (found["fresh"]["value"], found["fresh"]["pretrained"]):
        assert f"{value:.2f}" in text
    for item in found["anchors"]:
        assert f"{item['value']:.2f}" in text
    assert "rank correlation 0.971" in text
    assert "On the evaluation's own noise and images it measures" in text


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        ("older", {"landscape", "progress"}),
        ("surface", {"landscape", "progress", "prediction"}),
        ("pareto", {"landscape", "progress", "prediction", "pareto"}),
        ("block", {"landscape", "progress", "prediction"}),
        ("halving", {"landscape", "progress", "prediction"}),
        ("density", {"landscape", "progress", "prediction"}),
    ],
)
def test_every_kind_of_search_has_its_figures(
    write_run: RunWriter, kind: str, figures: set[str]
) -> None:
    run = searched_only(write_run(experts=2, searched=kind))
    page = read(run)
    drawn = {name.partition("-")[0] for name in page.ids if name.endswith("-figure_1")}
    assert drawn == {*figures, "weights"}
    assert ("Predicted landscape" in page.text) == (kind == "surface")
    assert ("density 0.43" in page.text) == (kind == "density")
    assert ("down_blocks.0" in page.text) == (kind == "block")
    assert ("side by side" in page.text) == (kind == "pareto")


@pytest.mark.parametrize("kind", ["surface", "pareto", "density"])
def test_keys_that_are_absent_leave_a_page(write_run: RunWriter, kind: str) -> None:
    run = searched_only(write_run(experts=1, searched=kind))
    path = run / "search" / "result.json"
    found = json.loads(path.read_text())
    for key in ("strategy", "fresh", "noise", "landscape", "anchors", "pareto", "protocol"):
        del found[key]
    path.write_text(json.dumps(found))
    text = read(run).text
    assert "The search looked for 1 merging weight" in text
    assert "not scored on fresh noise" in text


def test_the_optimism_is_split_where_the_pretrained_model_was_scored_too() -> None:
    given = record()
    text = words(given).optimism()
    assert "scores 27.40; on fresh noise (seed 1500)" in text
    assert "28.23. The difference, +0.83" in text
    assert "the pretrained model moves by +0.50" in text
    assert "so +0.33 of it" in text
    given["fresh"]["optimism"] = 0.2
    assert "none of it is owed" in words(given).optimism()
    del given["fresh"]["pretrained"]
    assert "sampling alone moves a score by ±0.41" in words(given).optimism()
    assert "not scored on fresh noise" in words(record(fresh=None)).optimism()


@pytest.mark.parametrize(
    ("difference", "half", "fresh", "outcome"),
    [
        (-5.0, 1.0, -4.0, "better"),
        (-5.0, 1.0, -0.5, "level"),  # the lead is gone on fresh noise
        (-0.5, 1.0, -0.5, "level"),
        (-0.5, 1.0, -9.0, "level"),  # luck on the fresh noise is no evidence
        (3.0, 1.0, 3.0, "worse"),
    ],
)
def test_the_verdict_is_of_the_fresh_noise(
    difference: float, half: float, fresh: float, outcome: str
) -> None:
    given = record(noise=against(difference, half))
    given["fresh"] = {"value": 30.0, "pretrained": 30.0 - fresh, "optimism": 0.1, "seed": 1}
    assert words(given).outcome == outcome
    assert words(given).verdict().outcome == outcome


def test_without_the_pretrained_models_fresh_score_the_optimism_is_taken_off() -> None:
    given = record(noise=against(-2.0, 1.0))
    given["fresh"] = {"value": 30.0, "optimism": 0.8}
    assert words(given).outcome == "better"
    given["fresh"]["optimism"] = 1.2
    assert words(given).outcome == "level"
    assert "could explain" in words(given).against_pretrained()
    given["fresh"]["optimism"] = -3.0
    assert words(given).outcome == "better"


def test_without_a_comparison_nothing_is_claimed() -> None:
    given = words(record(noise=None))
    assert given.outcome == "unknown"
    assert given.against_pretrained() == ""
    assert given.verdict().headline.startswith("The search has its weights")


def test_a_search_that_found_nothing_says_so() -> None:
    given = words(record(weights=[0.0, 0.0], noise=None))
    assert given.outcome == "level"
    assert "found nothing better" in given.verdict().headline
    assert "best weights are zero" in given.verdict().text


def test_the_space_the_objective_and_the_cost_are_in_words() -> None:
    text = words(record("halving")).searched()
    assert "The strategy random looked for 2 merging weights each in [−0.5, 1.5]" in text
    assert "minimising the Fréchet distance of 898 images" in text
    assert f"{len(record('halving')['evaluations'])} evaluations" in text
    assert "5 of them are anchors" in text
    density = words(record("density", merge_method="ties")).searched()
    assert "each in [−0.5, 1.5] and density in [−0.5, 1.5] of ties" in density


def test_a_sum_of_objectives_is_named_with_its_coefficients() -> None:
    given = SearchRecord.from_mapping(record(objective={"frechet": 1.0, "loss": 10.0}))
    assert objective_title(given) == "Fréchet distance + 10 · denoising loss"
    assert objective_name(given) == "frechet + 10 · loss"


def test_one_line_tells_both_scores_the_optimism_and_the_cost() -> None:
    given = record()
    cost = len(given["evaluations"])
    assert search_line(SearchRecord.from_mapping(given)) == (
        "search: frechet 27.40 on its noise, 28.23 on fresh noise (optimism +0.83), "
        f"{cost} sample sets"
    )


def test_the_terminals_lines_can_be_pasted_and_hold_all_numbers() -> None:
    given = record("density", noise=against(-2.0, 0.5))
    lines = search_lines(given)
    assert lines[:3] == ["t0000-0500  +0.6000", "t0500-1000  -0.2000", "density     0.43"]
    assert lines[3].startswith("frechet 27.40 on its noise, 28.23 on fresh noise")
    assert lines[4] == "against pretrained -2.00 [-2.50, -1.50], paired"
    assert lines[5] == "20 sample sets of 898 images, 20 evaluations"
    assert lines[6] == "anchors"
    assert [line.split()[0] for line in lines[7:]] == [
        "pretrained",
        "0-500",
        "500-1000",
        "uniform",
        "all",
    ]
    for line, anchor in zip(lines[7:], given["anchors"], strict=True):
        assert line.endswith(f"{anchor['value']:.2f}")


def test_weights_by_block_are_printed_in_their_short_form() -> None:
    given = record("block")
    assert search_lines(given)[0] == f"t0000-0500  {given['weights'][0]}"


def test_the_line_stands_below_the_terminals_table(write_run: RunWriter) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    run = write_run(detectors=("digits",))
    console.print(results_table(run))
    text = " ".join(console.export_text().split())
    assert text.endswith(search_line(SearchRecord.from_mapping(_result(run))))
    shutil.rmtree(run / "search")
    console.print(results_table(run))
    assert "search:" not in console.export_text()


def test_the_card_names_strategy_cost_and_the_fresh_score(write_run: RunWriter) -> None:
    run = write_run()
    text = write_model_card(run).read_text("utf-8")
    assert "## Search" in text
    assert "The strategy surface looked for 4 merging weights" in text
    assert "22 sample sets" in text
    assert "28.23" in text
    shutil.rmtree(run / "search")
    assert "## Search" not in write_model_card(run).read_text("utf-8")


def _result(run: Path) -> dict[str, Any]:
    return json.loads((run / "search" / "result.json").read_text())


def test_a_recipe_that_gives_no_weights_means_one_share_each(write_run: RunWriter) -> None:
    run = searched_only(write_run(experts=2))
    path = run / "merged" / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    for source in recipe["models"]:
        del source["parameters"]
    path.write_text(yaml.safe_dump(recipe))
    assert read(run).text.count("+0.500") == 2
