import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deme.errors import StorageError
from deme.report import Evidence, Verdict, verdict
from deme.report.evidence import Number
from deme.report.verdict import judge

RunWriter = Callable[..., Path]

BETTER = {"pretrained": 36.0, "joint": 34.0, "routed": 30.9, "uniform": 33.0, "merged": 30.0}


@pytest.fixture
def judged(write_run: RunWriter) -> Callable[..., Verdict]:
    def judged(**settings: Any) -> Verdict:
        return verdict(evidence(write_run(**settings)))

    return judged


def evidence(run: Path) -> Evidence:
    return Evidence.from_mapping(json.loads((run / "metrics.json").read_text()))


def test_a_merge_that_beats_all_is_better(judged: Callable[..., Verdict]) -> None:
    found = judged(means=BETTER)
    assert found.outcome == "better"
    assert found.headline == "The merged model is better than the pretrained one."
    assert "better than joint finetuning, routed experts and uniform merge" in found.text
    assert "beyond its deviation" in found.text


def test_a_baseline_that_wins_is_in_the_headline(judged: Callable[..., Verdict]) -> None:
    found = judged(means={**BETTER, "joint": 25.0})
    assert found.outcome == "better"
    assert "not the best here: joint finetuning is better still" in found.headline
    assert "worse than joint finetuning" in found.text


def test_a_merge_that_is_worse_is_called_worse(judged: Callable[..., Verdict]) -> None:
    found = judged(means={**BETTER, "merged": 40.0})
    assert found.outcome == "worse"
    assert "is worse than the pretrained one" in found.headline
    assert "joint finetuning, routed experts and uniform merge are better" in found.headline
    assert "rises" in found.text


def test_a_difference_within_its_deviation_is_no_difference(
    judged: Callable[..., Verdict],
) -> None:
    found = judged(means={"pretrained": 30.0, "merged": 30.0}, spread=2.0)
    assert found.outcome == "level"
    assert "cannot be told from" in found.headline
    assert "within its deviation" in found.text


def test_one_seed_decides_nothing(judged: Callable[..., Verdict]) -> None:
    found = judged(means=BETTER, seeds=1)
    assert found.outcome == "unknown"
    assert "One seed cannot tell" in found.headline
    assert "±" not in found.sentences[0]


def test_the_numbers_are_the_files_own(write_run: RunWriter) -> None:
    run = write_run(means=BETTER)
    metrics = json.loads((run / "metrics.json").read_text())
    text = verdict(evidence(run)).text
    merged = metrics["arms"]["merged"]["metrics"]["digits"]["frechet"]
    reduction = metrics["excess"]["digits"]["reduction"]
    assert f"{merged['mean']:.2f} ± {merged['std']:.2f}" in text
    assert f"by {100 * reduction:.1f} %" in text


def test_a_detector_that_disagrees_is_heard(write_run: RunWriter) -> None:
    run = write_run(means=BETTER)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["paired"]["inception"]["frechet"]["pretrained"] = {"mean": 2.0, "std": 0.1}
    found = verdict(Evidence.from_mapping(metrics))
    assert "that the search never saw, it is worse on inception (+2.00 ± 0.10)" in found.text


def test_what_got_worse_is_named(write_run: RunWriter) -> None:
    run = write_run(means=BETTER)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["paired"]["digits"]["recall"]["pretrained"] = {"mean": -0.05, "std": 0.01}
    found = verdict(Evidence.from_mapping(metrics))
    assert "It loses against pretrained in recall on digits (−0.05" in found.text


def test_a_pretrained_model_at_the_floor_leaves_nothing_to_show(write_run: RunWriter) -> None:
    run = write_run(means=BETTER)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["excess"]["digits"] = {"pretrained": -0.2, "merged": -0.5, "reduction": -1.5}
    text = verdict(Evidence.from_mapping(metrics)).text
    assert "already at the floor" in text
    assert "falls" not in text
    assert "rises" not in text


def test_without_a_comparison_there_is_no_verdict(write_run: RunWriter) -> None:
    metrics = json.loads((write_run(means=BETTER) / "metrics.json").read_text())
    del metrics["paired"]["digits"]["frechet"]["pretrained"]
    found = verdict(Evidence.from_mapping(metrics))
    assert found == Verdict("unknown", "Merged and pretrained have not been compared yet.", ())


@pytest.mark.parametrize(
    ("mean", "metric", "outcome"),
    [
        (-2.0, "frechet", "better"),
        (2.0, "frechet", "worse"),
        (2.0, "recall", "better"),
        (-2.0, "precision", "worse"),
        (-0.5, "frechet", "level"),
        (1.0, "recall", "level"),
    ],
)
def test_the_metric_says_which_way_is_better(mean: float, metric: str, outcome: str) -> None:
    assert judge(Number(mean, 1.0), metric, seeds=3) == outcome


def test_a_file_that_deme_did_not_write_is_refused() -> None:
    with pytest.raises(StorageError, match=r"metrics\.json is not what deme writes"):
        Evidence.from_mapping({"protocol": "p", "metrics": ["frechet"]})


def test_the_excess_is_told_only_of_the_metric_it_was_measured_in(write_run: RunWriter) -> None:
    metrics = json.loads((write_run(means=BETTER) / "metrics.json").read_text())
    assert "The excess over it falls" in verdict(Evidence.from_mapping(metrics)).text
    metrics["metrics"] = ["kid", "frechet"]
    found = verdict(Evidence.from_mapping(metrics))
    assert found.sentences[0].startswith("Its KID")
    assert "excess" not in found.text
