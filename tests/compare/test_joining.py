"""Comparisons that were run apart, in one table."""

from pathlib import Path
from typing import Any

import pytest

from deme.compare import join_folders, join_records
from deme.errors import ConfigError, ProtocolError, StorageError
from deme.files import read_json, write_json


def record(name: str, arms: dict[str, list[list[float]]], **changes: Any) -> dict[str, Any]:
    protocol = {"detector_digest": "abc", "sampler": "ddim-20"}
    return {
        "name": name,
        "protocols": {"digits": protocol},
        "metrics": ["frechet"],
        "detectors": ["digits"],
        "seeds": {"training": [0, 1], "noise": [7]},
        "images": 100,
        "budget": {"steps": 40},
        "trials": {"count": 2},
        "floor": {"digits": {"frechet": {"mean": 1.0}}},
        "confidence": 0.95,
        "reference": next(iter(arms)),
        "arms": {arm: {"values": {"digits": {"frechet": v}}} for arm, v in arms.items()},
        "curve": [],
        "notes": [f"note of {name}"],
        "missing": ["late"],
        **changes,
    }


def test_arms_of_both_stand_in_one_table_and_differences_are_made_anew() -> None:
    joined = join_records(
        [record("a", {"deme": [[1.0], [2.0]]}), record("b", {"late": [[4.0], [7.0]]})]
    )
    assert list(joined["arms"]) == ["deme", "late"] and joined["missing"] == []
    assert joined["arms"]["late"]["against"]["digits"]["frechet"]["mean"] == -4.0
    assert joined["notes"] == ["note of a", "note of b"]


def test_another_protocol_is_refused_and_what_differs_is_named() -> None:
    other = record("b", {"late": [[4.0], [7.0]]})
    other["protocols"]["digits"]["sampler"] = "ddim-50"
    other["images"] = 200
    with pytest.raises(ProtocolError) as refused:
        join_records([record("a", {"deme": [[1.0], [2.0]]}), other])
    assert "protocols.digits.sampler: ddim-20 ≠ ddim-50" in str(refused.value)
    assert "images: 100 ≠ 200" in str(refused.value)


def test_a_reference_that_is_no_arm_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="deme"):
        join_records([record("a", {"deme": [[1.0], [2.0]]})], reference="demi")


def test_folders_are_joined_into_one(tmp_path: Path) -> None:
    for name, arm in (("a", "deme"), ("b", "late")):
        write_json(tmp_path / name / "compare.json", record(name, {arm: [[1.0], [2.0]]}))
    (tmp_path / "b" / "samples").mkdir()
    (tmp_path / "b" / "samples" / "late.npy").write_bytes(b"late's")
    folder = join_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "runs", reference="late")
    assert read_json(folder / "compare.json")["reference"] == "late"
    assert (folder / "samples" / "late.npy").read_bytes() == b"late's"
    with pytest.raises(StorageError, match="no comparison"):
        join_folders([tmp_path / "a", tmp_path / "empty"], tmp_path / "runs")


def test_an_arm_of_both_stands_once_and_two_arms_of_one_name_are_refused() -> None:
    mine = record("a", {"deme": [[1.0], [2.0]], "plain": [[3.0], [4.0]]})
    point = {"arm": "plain", "sampler_steps": 5}
    same = record("b", {"plain": [[3.0 + 1e-7], [4.0]]}, curve=[point], missing=[])
    joined = join_records([{**mine, "curve": [point]}, same])
    assert list(joined["arms"]) == ["deme", "plain"] and joined["curve"] == [point]
    with pytest.raises(ProtocolError, match="different arms are called plain"):
        join_records([mine, record("b", {"plain": [[3.0], [5.0]]})])


def test_what_another_machines_sums_change_is_no_other_protocol() -> None:
    other = record("b", {"late": [[4.0], [7.0]]})
    other["floor"]["digits"]["frechet"]["mean"] = 1.0 + 1e-9
    assert list(join_records([record("a", {"deme": [[1.0], [2.0]]}), other])["arms"])
