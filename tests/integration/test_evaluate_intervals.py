"""Metrics of other tables in a run, intervals, and the bound, as typed."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from conftest import Deme
from deme.assets import DIGITS_PIPELINE
from deme.errors import ConfigError
from deme.files import read_json
from deme.metrics import MetricValue, Protocol
from deme.runs import RunContext, run_job
from deme.runs.measuring import mean_interval
from deme.runs.stages.evaluate import evaluate
from integration.tiny_run import arguments, context_of

METRICS = "evaluate.metrics=[frechet, inception_score_unsplit, density]"
SMALL = (METRICS, "joint.enabled=false", "evaluate.arms=[pretrained, merged]")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A run that also reads class probabilities."""
    context = context_of(tmp_path_factory.mktemp("scored"), *SMALL)
    run_job(context)
    return context


def test_a_run_keeps_what_its_metrics_read(scored: RunContext, finished: RunContext) -> None:
    kept = load_file(scored.store.path / "evaluation/pretrained-1-000.safetensors")
    assert set(kept) == {"digits", "digits/probabilities", "images"}
    before = load_file(finished.store.path / "evaluation/pretrained-1-000.safetensors")
    assert set(before) == {"digits", "images"}
    assert kept["digits"].equal(before["digits"])
    arms = read_json(scored.store.path / "metrics.json")["arms"]
    scores = arms["pretrained"]["metrics"]["digits"]["inception_score_unsplit"]["values"]
    assert len(scores) == 3 and all(1 < score < 10 for score in scores)


def test_the_floor_of_a_score_is_that_of_real_images(scored: RunContext) -> None:
    floor = read_json(scored.store.path / "metrics.json")["floor"]["digits"]
    assert 5 < floor["inception_score_unsplit"]["mean"] < 10


def test_every_model_has_a_bound_on_every_range(finished: RunContext) -> None:
    record = read_json(finished.store.path / "validation.json")
    bound = record["nll_bound"]
    assert set(bound["models"]) == set(record["models"])
    for name, ranges in bound["models"].items():
        assert len(ranges) == len(record["ranges"])
        assert bound["totals"][name] == pytest.approx(sum(ranges) + bound["prior"])
        assert 0 < bound["totals"][name] < 20


def test_the_arms_are_shown_with_intervals(
    deme: Deme, scored: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    output = scored.store.path.parent
    words = ("evaluate", "digits", "--intervals", "-o", output, "--quiet", *arguments(*SMALL))
    code, out, err = deme(*words)
    assert (code, err) == (0, "")
    assert "95 % interval" in out
    assert out.count("inception_score_unsplit") >= 2
    assert "few for 10 classes" in out


def test_any_pipeline_has_intervals_unless_told_otherwise(
    deme: Deme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ("evaluate", "digits", "--model", DIGITS_PIPELINE, "-o", tmp_path, "--quiet")
    code, out, _ = deme(*words, *arguments(METRICS))
    assert code == 0 and "95 % interval" in out and " to " in out
    code, out, _ = deme(*words, "--no-intervals", *arguments(METRICS))
    assert code == 0 and "interval" not in out


def test_the_mean_of_independent_seeds_has_a_narrower_interval() -> None:
    values = [
        MetricValue("kid", number, False, Protocol(), interval=(number - 3, number + 4))
        for number in (10.0, 12.0, 14.0, 16.0)
    ]
    assert mean_interval(values) == pytest.approx((13 - 1.5, 13 + 2))
    assert mean_interval([*values, MetricValue("kid", 1.0, False, Protocol())]) is None


def test_a_metric_that_no_detector_can_make_is_refused(tmp_path: Path) -> None:
    context = context_of(tmp_path, "evaluate.metrics=[sfid]")
    with pytest.raises(ConfigError, match=r"sfid reads spatial, which digits does not make.*incep"):
        evaluate(context)


def test_protocols_are_listed_and_a_wrong_mix_is_refused(deme: Deme, tmp_path: Path) -> None:
    code, out, _ = deme("evaluate", "--protocols")
    assert code == 0
    assert all(name in out for name in ("cifar10-50k", "bedroom-50k", "partiprompts"))
    code, _, err = deme("evaluate", "digits", "--protocol", "cifar10-50k", "-o", tmp_path)
    assert code == 2 and "detector is digits and not inception" in err
