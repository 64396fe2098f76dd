import copy
from typing import Any

import pytest

from deme.analysis import SearchRecord
from deme.analysis.anchor_titles import anchor_title
from deme.errors import DataError
from report.fake_search import IMAGES, KINDS, search

NAMES = ["t0000-0500", "t0500-1000"]
WEIGHTS = [0.6, -0.2]


def read(kind: str) -> SearchRecord:
    return SearchRecord.from_mapping(search(NAMES, WEIGHTS, kind))


def test_an_older_record_has_its_weights_as_points_and_a_cost_of_one_each() -> None:
    record = read("older")
    assert record.point == tuple(WEIGHTS)
    assert [axis.name for axis in record.axes] == NAMES
    assert record.cost == len(record.evaluations)
    titles = ["pretrained", "0–500 alone", "500–1000 alone", "uniform"]
    assert [item.anchor for item in record.anchors][:4] == titles
    assert (record.fresh, record.against_zero, record.strategy) == (None, None, "")


def test_only_listed_anchors_are_anchors_where_the_record_lists_them() -> None:
    given = search(NAMES, WEIGHTS, "surface")
    given["anchors"] = given["anchors"][:1]
    assert [item.anchor for item in SearchRecord.from_mapping(given).anchors] == ["pretrained"]


def test_anchors_that_are_no_evaluations_come_first_and_are_counted() -> None:
    given = search(NAMES, WEIGHTS, "surface")
    before = SearchRecord.from_mapping(given)
    given["evaluations"] = given["evaluations"][len(given["anchors"]) :]
    after = SearchRecord.from_mapping(given)
    assert [(e.point, e.anchor) for e in after.evaluations] == [
        (e.point, e.anchor) for e in before.evaluations
    ]
    assert after.cost == before.cost


def test_the_cost_is_in_full_sets_and_smaller_sets_are_not_comparable() -> None:
    record = read("halving")
    parts = [item for item in record.evaluations if item.images < IMAGES]
    assert parts
    assert record.cost == len(record.evaluations) - 0.75 * len(parts)
    assert not set(parts) & set(record.full)


def test_what_was_searched_beside_the_weights_is_told_apart() -> None:
    assert read("density").beside_weights == (("density", 0.43),)
    assert read("density").zero == (0.0, 0.0, None)
    assert read("block").beside_weights == ()
    assert read("block").numbers is None
    assert read("surface").numbers == tuple(WEIGHTS)


def test_a_name_within_another_is_no_expert() -> None:
    given = search(["a", "b"], WEIGHTS, "density")
    given["axes"][2]["name"] = "a-density"
    assert SearchRecord.from_mapping(given).beside_weights == (("a-density", 0.43),)


def test_the_optimism_is_computed_where_it_is_not_stored() -> None:
    given = search(NAMES, WEIGHTS, "surface")
    del given["fresh"]["optimism"]
    fresh = SearchRecord.from_mapping(given).fresh
    assert fresh is not None
    assert fresh.optimism == pytest.approx(0.83)


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_values_that_are_not_finite_are_no_numbers(value: float | None) -> None:
    given = search(NAMES, WEIGHTS, "surface")
    given["evaluations"][3]["value"] = value
    given["fresh"]["value"] = value
    record = SearchRecord.from_mapping(given)
    assert record.evaluations[3].value != record.evaluations[3].value
    assert record.fresh is None


@pytest.mark.parametrize("missing", ["experts", "weights", "value", "evaluations"])
def test_a_record_that_deme_did_not_write_is_refused(missing: str) -> None:
    given = search(NAMES, WEIGHTS, "surface")
    del given[missing]
    with pytest.raises(DataError, match=r"result\.json is not what deme writes"):
        SearchRecord.from_mapping(given)


def test_points_of_another_length_are_refused() -> None:
    given: dict[str, Any] = copy.deepcopy(search(NAMES, WEIGHTS, "surface"))
    given["evaluations"][2]["point"].append(0.0)
    with pytest.raises(DataError, match="2 weights"):
        SearchRecord.from_mapping(given)


@pytest.mark.parametrize("kind", ["older", *KINDS])
def test_keys_that_only_new_records_have_may_be_absent(kind: str) -> None:
    given = search(NAMES, WEIGHTS, kind)
    for key in ("fresh", "anchors", "noise", "landscape", "pareto", "strategy", "protocol"):
        given.pop(key, None)
    record = SearchRecord.from_mapping(given)
    assert record.point == SearchRecord.from_mapping(search(NAMES, WEIGHTS, kind)).point


@pytest.mark.parametrize(
    ("name", "weights", "title"),
    [
        ("zero", {"a": 0.0, "b": 0.0}, "pretrained"),
        ("", {"a": 0.0, "t0000-0250": 1.0}, "0–250 alone"),
        ("", {"a": 0.5, "b": 0.5}, "uniform"),
        ("sum", {"a": 1.0, "b": 1.0}, "all 1"),
        ("best scale", {"a": 0.0, "b": -0.6}, "b at −0.60"),
        ("best scale", {"a": 0.8, "b": 0.8}, "all +0.80"),
        ("best scale", {"a": 0.8, "b": 0.3}, "best scale"),
        ("", {"a": 0.0, "b": -0.6}, ""),
        ("t0000-0250", {}, "0–250 alone"),
        ("sum", {}, "all 1"),
    ],
)
def test_anchors_are_named_by_their_weights(
    name: str, weights: dict[str, float], title: str
) -> None:
    assert anchor_title(name, weights, ["a", "b", "t0000-0250"]) == title
