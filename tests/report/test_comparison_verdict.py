"""The words of a comparison: they must say what the intervals say."""

import math
from typing import Any

import pytest

from deme.report.comparison import ComparisonRecord, comparison_verdict
from deme.report.comparison.arm_record import Difference
from deme.report.comparison.costs import budget_sentences
from deme.report.comparison.quantities import milliseconds, named, ordinal, rate, short
from deme.report.comparison.standing import judge, standing
from deme.report.comparison.tuning import trial_table, tuning_sentences
from deme.report.comparison.verdict import intervals_text
from report.fake_comparison import ARMS, FakeComparison


def record(**settings: Any) -> ComparisonRecord:
    return ComparisonRecord.from_mapping(FakeComparison(**settings).record())


def difference(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, "training", 3)


@pytest.mark.parametrize(
    ("low", "high", "distance", "share"),
    [
        (-2, -1, "better", "worse"),
        (1, 2, "worse", "better"),
        (-1, 2, "level", "level"),
        (-1, 0, "level", "level"),
        (math.nan, math.nan, "unknown", "unknown"),
    ],
)
def test_an_interval_clear_of_zero_decides_and_nothing_else(
    low: float, high: float, distance: str, share: str
) -> None:
    assert judge(difference(low, high), "frechet") == distance
    assert judge(difference(low, high), "precision") == share


def test_places_count_the_arms_with_a_better_mean() -> None:
    found = standing(record(ahead={"edm2": -1.0, "routed": -2.0}), "digits", "frechet")
    assert found is not None
    assert (found.place, found.arms) == (3, 14)
    assert [arm.name for arm in found.worse] == ["routed", "edm2"]  # the furthest ahead first
    assert len(found.better) + len(found.level) + len(found.worse) + len(found.unknown) == 13


def test_a_reference_that_leads_everywhere_is_said_to() -> None:
    said = comparison_verdict(record(ahead={"edm2": 2.0, "greedy": 2.0, "oms_dpm": 2.0}))
    assert said.outcome == "better"
    assert said.headline.startswith(
        "“DeMe, merged” is first of 14 arms on digits features, ahead of all others"
    )
    assert "on pixels, which the search never saw, it is first" in said.headline


def test_a_lead_within_the_interval_is_no_victory() -> None:
    said = comparison_verdict(record(ahead={"edm2": 0.01}))
    assert said.outcome == "level"
    assert "level with EDM2 uncertainty" in said.headline


def test_an_arm_that_wins_is_named_first_and_by_how_much() -> None:
    given = record(ahead={"routed": -0.8, "plain": -0.5})
    said = comparison_verdict(given)
    assert said.outcome == "worse"
    found = given.arms["routed"].against["digits"]["frechet"]
    assert "“DeMe, merged” is third of 14 arms" in said.headline
    assert f"“DeMe, routed” is better by {found.mean:.3f} ({found.low:.3f} to " in said.headline
    assert "1 more arm is better" in said.headline
    assert "joint finetuning" in said.text


def test_a_lead_that_another_detector_denies_is_no_lead() -> None:
    given = FakeComparison(
        ahead={name: 2.0 for name in ARMS if name != "deme"}, metrics=("frechet",)
    ).record()
    assert comparison_verdict(ComparisonRecord.from_mapping(given)).outcome == "better"
    given["arms"]["plain"]["against"]["pixels"]["frechet"] |= {"mean": 1.0, "low": 0.5, "high": 1.5}
    said = comparison_verdict(ComparisonRecord.from_mapping(given))
    assert said.outcome == "level"
    assert "behind 1" in said.headline


def test_what_is_lost_in_other_metrics_is_not_hidden() -> None:
    given = FakeComparison(ahead={name: 2.0 for name in ARMS if name != "deme"}).record()
    entry = given["arms"]["plain"]["against"]["digits"]["recall"]
    entry |= {"mean": -0.1, "low": -0.2, "high": -0.05}
    said = comparison_verdict(ComparisonRecord.from_mapping(given)).text
    assert "In other metrics it is beaten in recall on digits by joint finetuning." in said


def test_one_seed_of_each_decides_nothing() -> None:
    said = comparison_verdict(record(training=(0,), noise=(1000,)))
    assert said.outcome == "unknown"
    assert "one seed cannot tell from luck" in said.headline
    assert "no interval, and no judgement" in said.text


def test_intervals_over_noise_say_what_they_leave_out() -> None:
    assert "over 5 noise seeds; they say nothing of another training" in (
        comparison_verdict(record(training=(0,))).text
    )


def test_no_unseen_detector_is_said() -> None:
    said = comparison_verdict(record(detectors=("digits",)))
    assert "no detector that the search never saw was asked" in said.headline


def test_several_unseen_detectors_are_counted() -> None:
    said = comparison_verdict(record(detectors=("digits", "pixels", "dino")))
    assert "of 2 detectors that the search never saw it is first on 2" in said.headline


def test_before_the_reference_is_judged_nothing_is_decided() -> None:
    said = comparison_verdict(record(missing=("deme",)))
    assert said.outcome == "unknown"
    assert "has not been judged yet" in said.headline


def test_a_distance_that_is_not_finite_comes_last() -> None:
    given = FakeComparison(metrics=("frechet",)).record()
    for detector in given["detectors"]:
        broken = {"mean": math.nan, "low": None, "high": None, "over": "training", "seeds": 3}
        given["arms"]["p2"]["metrics"][detector]["frechet"] = {"mean": math.nan, "std": None}
        given["arms"]["p2"]["against"][detector]["frechet"] = broken
    read = ComparisonRecord.from_mapping(given)
    found = standing(read, "digits", "frechet")
    assert found is not None
    assert found.place == 1
    assert [arm.name for arm in found.unknown] == ["p2"]
    assert "P2 not finite" in comparison_verdict(read).text


def test_the_same_trials_for_every_arm_are_said_with_where_they_were_made() -> None:
    said = " ".join(tuning_sentences(record()))
    assert "the same 5 trials: the learning rates 5e-4, 1.5e-3 and 4e-3" in said
    assert "0.05 and 0.15" in said
    assert "at training seed 0; the other seeds use what was found there" in said
    assert "Not tuned themselves: greedy soup and OMS-DPM" in said


def test_real_images_that_tune_and_judge_are_said_to() -> None:
    given = FakeComparison().record()
    words = {True: "neither is used to judge", False: "those images are the ones that judge too"}
    for halves in (True, False, None):
        read = ComparisonRecord.from_mapping({**given, "halves": halves})
        said = " ".join(tuning_sentences(read))
        assert [text in said for text in words.values()] == [halves is True, halves is False]


def test_intervals_over_trainings_are_named_beside_one_over_noise() -> None:
    given = FakeComparison().record()
    first = next(name for name in given["arms"] if name != given["reference"])
    given["arms"][first]["against"]["digits"]["frechet"]["over"] = "noise"
    assert "training seeds" in intervals_text(ComparisonRecord.from_mapping(given))


def test_a_best_rate_at_the_end_of_those_tried_is_admitted() -> None:
    given = FakeComparison().record()
    for arm in given["arms"].values():
        if arm["chosen"] is not None:
            arm["chosen"] = {"learning_rate": 1.5e-3, "average": None}
    middle = " ".join(tuning_sentences(ComparisonRecord.from_mapping(given)))
    given["arms"]["p2"]["chosen"] = {"learning_rate": 4e-3, "average": None}
    edge = " ".join(tuning_sentences(ComparisonRecord.from_mapping(given)))
    assert "may lie beyond" not in middle
    assert "At the highest rate that was tried, so that a better one may lie beyond: P2." in edge


def test_the_table_of_trials_marks_what_was_chosen() -> None:
    given = record()
    table = trial_table(given)
    assert table is not None
    assert table.columns == ("5e-4", "1.5e-3", "4e-3", "σ 0.05", "σ 0.15")
    assert len(table.rows) == sum(bool(arm.trials) for arm in given.arms.values())
    for row in table.rows:
        assert sum(cell.chosen for cell in row.cells) == 1


def test_an_arm_beyond_the_budget_is_named() -> None:
    given = FakeComparison().record()
    assert "No arm took more." in budget_sentences(ComparisonRecord.from_mapping(given))
    given["arms"]["oms_dpm"]["training_images"] *= 2
    said = " ".join(budget_sentences(ComparisonRecord.from_mapping(given)))
    assert "More than the budget was taken by OMS-DPM (200.0 %)." in said


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (175_432, "175 k"), (999_999, "1.00 M"), (1.234e9, "1.23 G"), (None, "–")],
)
def test_large_numbers_have_three_figures_and_a_prefix(value: float | None, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("value", "text"), [(5e-4, "5e-4"), (1.5e-3, "1.5e-3"), (1e-5, "1e-5")])
def test_rates_are_written_as_people_write_them(value: float, text: str) -> None:
    assert rate(value) == text
    assert float(rate(value)) == value


def test_places_titles_and_times_in_words() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 22, 113)] == [
        "first",
        "second",
        "third",
        "4th",
        "11th",
        "12th",
        "21st",
        "22nd",
        "113th",
    ]
    assert (named("a, b"), named("a")) == ("“a, b”", "a")
    assert (milliseconds(0.0021), milliseconds(12.3), milliseconds(None)) == ("2.10", "12300", "–")
