"""Ranges cover all timesteps once, or it is an error that says where."""

from __future__ import annotations

from typing import Any

import pytest

from deme.config import parse_config
from deme.decouple import DecoupleConfig, Partition, TimestepRange, experts_of
from deme.errors import ConfigError


def ranges(*pairs: tuple[int, int]) -> tuple[TimestepRange, ...]:
    return tuple(TimestepRange(*pair) for pair in pairs)


def test_four_uniform_ranges_of_a_thousand() -> None:
    assert Partition.uniform(4).boundaries == (0, 250, 500, 750, 1000)


@pytest.mark.parametrize("total", [7, 10, 100, 1000])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_uniform_ranges_are_the_published_routing(count: int, total: int) -> None:
    """``⌊t·N/T⌋`` for every t, also where N does not divide T."""
    partition = Partition.uniform(count, total)
    assert [partition.owner(t) for t in range(total)] == [t * count // total for t in range(total)]
    assert sum(len(item) for item in partition) == total
    assert len(partition) == count


def test_boundaries_and_listed_ranges_agree() -> None:
    listed = Partition(ranges((0, 100), (100, 700), (700, 1000)), 1000)
    assert Partition.from_boundaries([100, 700], 1000) == listed
    assert [str(item) for item in listed] == ["[0, 100)", "[100, 700)", "[700, 1000)"]
    assert 100 not in listed.ranges[0]
    assert 100 in listed.ranges[1]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            ((0, 300), (250, 1000)),
            "The timestep ranges overlap: [250, 1000) starts before 300, where the range before it "
            "ends. Fix: start it at 300 (ranges are half-open and in increasing order).",
        ),
        (
            ((0, 250), (300, 1000)),
            "The timestep ranges leave a gap: no range covers [250, 300). "
            "Fix: start the range [300, 1000) at 250.",
        ),
        (
            ((0, 250), (250, 900)),
            "The timestep ranges end at 900, the model has 1000 timesteps. "
            "Fix: end the last range at 1000.",
        ),
    ],
    ids=["overlap", "gap", "end"],
)
def test_ranges_that_do_not_cover(pairs: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Partition(ranges(*pairs), 1000)
    assert str(caught.value) == message


@pytest.mark.parametrize("pair", [(5, 5), (9, 3), (-1, 4)])
def test_empty_and_negative_ranges(pair: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"is empty or negative.*0 <= low < high"):
        TimestepRange(*pair)


@pytest.mark.parametrize("inner", [[0, 500], [500, 500], [700, 300], [1000]])
def test_boundaries_that_are_not_inner_or_not_increasing(inner: list[int]) -> None:
    with pytest.raises(ConfigError, match="not strictly increasing within"):
        Partition.from_boundaries(inner, 1000)


@pytest.mark.parametrize("count", [0, 11])
def test_more_ranges_than_timesteps(count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} ranges do not fit 10 timesteps"):
        Partition.uniform(count, 10)


def test_a_timestep_outside() -> None:
    with pytest.raises(ConfigError, match=r"t = 1000 is outside \[0, 1000\)"):
        Partition.uniform(4).owner(1000)


def test_experts_are_named_by_range() -> None:
    assert [expert.name for expert in experts_of(Partition.uniform(2))] == [
        "t0000-0500",
        "t0500-1000",
    ]


@pytest.mark.parametrize(
    ("values", "boundaries"),
    [
        ({}, (0, 250, 500, 750, 1000)),
        ({"ranges": 2}, (0, 500, 1000)),
        ({"timestep_boundaries": [100]}, (0, 100, 1000)),
        ({"ranges": [[0, 10], [10, 1000]]}, (0, 10, 1000)),
    ],
)
def test_the_configuration_gives_the_partition(
    values: dict[str, Any], boundaries: tuple[int, ...]
) -> None:
    assert parse_config(DecoupleConfig, values).partition(1000).boundaries == boundaries


def test_the_configured_end_is_checked_against_the_model() -> None:
    config = parse_config(DecoupleConfig, {"ranges": [[0, 10], [10, 1000]]})
    with pytest.raises(ConfigError, match="end at 1000, the model has 100 timesteps"):
        config.partition(100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p": 1.5}, "p: .* less than or equal to 1 .given: 1.5"),
        ({"p": -0.1}, "p: .* greater than or equal to 0"),
        ({"p": float("nan")}, "p: .*finite"),
        ({"ranges": 0}, "ranges must be at least 1"),
        ({"ranges": []}, "ranges must list at least one"),
        ({"ranges": [[0, 300], [200, 1000]]}, "overlap"),
        ({"ranges": [[0, 300], [400, 1000]]}, "leave a gap"),
        ({"ranges": [[5, 5]]}, "is empty or negative"),
        ({"ranges": 4, "timestep_boundaries": [5]}, "either ranges or timestep_boundaries"),
        ({"projection": "foldabel"}, "Did you mean 'foldable'"),
        ({"consistancy": 1}, "unknown key.*Did you mean 'consistency'"),
    ],
)
def test_wrong_configurations(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(DecoupleConfig, values)
