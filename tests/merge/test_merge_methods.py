import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge import (
    MERGE_METHODS,
    StateDict,
    TaskVector,
    get_merge_method,
    merge_method,
    merge_weights,
    task_arithmetic,
)


@pytest.fixture(autouse=True)
def methods_of_this_test_alone() -> Iterator[None]:
    before = dict(MERGE_METHODS)
    yield
    MERGE_METHODS.clear()
    MERGE_METHODS.update(before)


def scaled(
    base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], density: float = 1.0
) -> Tensor:
    return base + density * sum(w * d for w, d in zip(weights, deltas, strict=True))


def merge_one(method: str, **parameters: Any) -> list[float]:
    base = StateDict({"w": torch.ones(2)}, "base")
    vector = TaskVector({"w": torch.tensor([1.0, 2.0])}, "e")
    return merge_weights(base, [vector], [1.0], method=method, parameters=parameters)["w"].tolist()


def test_registering_returns_the_function_unchanged() -> None:
    assert merge_method(paper="here")(scaled) is scaled
    assert MERGE_METHODS["scaled"].function is scaled
    assert MERGE_METHODS["scaled"].paper == "here"
    assert MERGE_METHODS["task_arithmetic"].function is task_arithmetic


def test_parameters_are_read_from_the_signature() -> None:
    merge_method(paper="here")(scaled)
    assert get_merge_method("scaled").parameters == {"density": 1.0}
    assert get_merge_method("task_arithmetic").parameters == {}
    assert merge_one("scaled") == [2.0, 3.0]
    assert merge_one("scaled", density=0.5) == [1.5, 2.0]


def test_an_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError,
        match=re.escape(
            "Unknown merge_method 'task_arithmetics'. Did you mean 'task_arithmetic'? "
            f"Choices: {', '.join(MERGE_METHODS)}."
        ),
    ):
        merge_one("task_arithmetics")


def test_an_unknown_parameter_is_named_with_the_choices() -> None:
    merge_method(paper="here")(scaled)
    expected = "scaled has no parameter 'densty'. Did you mean 'density'? Choices: density."
    with pytest.raises(ConfigError, match=re.escape(expected)):
        merge_one("scaled", densty=0.5)
    expected = "task_arithmetic has no parameter 'density'. Choices: none."
    with pytest.raises(ConfigError, match=re.escape(expected)):
        merge_one("task_arithmetic", density=0.5)


def test_a_bad_signature_is_refused() -> None:
    def swapped(base: Tensor, weights: Sequence[float], deltas: Sequence[Tensor]) -> Tensor:
        return base

    def short(base: Tensor) -> Tensor:
        return base

    def undecided(
        base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], density: float
    ) -> Tensor:
        return base

    def anything(
        base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], **rest: float
    ) -> Tensor:
        return base

    for function, reason in (
        (swapped, "takes ('base', 'weights', 'deltas')"),
        (short, "takes ('base',)"),
        (undecided, "'density' of the merge method undecided has no default"),
        (anything, "'rest' of the merge method anything has no default"),
    ):
        with pytest.raises(ConfigError, match=re.escape(reason)):
            merge_method(paper="")(function)
        assert function.__name__ not in MERGE_METHODS


def test_a_name_that_is_taken_is_refused() -> None:
    def task_arithmetic(base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        return base

    with pytest.raises(ConfigError, match="task_arithmetic is registered by deme"):
        merge_method(paper="")(task_arithmetic)
    assert merge_one("task_arithmetic") == [2.0, 3.0]
