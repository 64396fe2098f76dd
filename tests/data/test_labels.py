"""Labels of every type become integers from 0."""

from __future__ import annotations

from typing import Any

import pytest

from deme.data.labels import Labels, read_labels
from deme.errors import DataError


def read(values: list[Any], names: list[str] | None = None, chosen: bool = True) -> Labels:
    labels = read_labels(values, names, "The column 'label' of d", chosen)
    assert labels is not None
    return labels


def test_class_labels_keep_their_names_and_unused_classes() -> None:
    labels = read([1, 0, 1], ["cat", "dog", "eel"])
    assert labels.values.tolist() == [1, 0, 1]
    assert (labels.count, labels.names) == (3, ("cat", "dog", "eel"))


def test_strings_are_numbered_in_sorted_order() -> None:
    labels = read(["dog", "cat", "dog"])
    assert labels.values.tolist() == [1, 0, 1]
    assert (labels.count, labels.names) == (2, ("cat", "dog"))


def test_integers_and_booleans_count_up_to_the_highest() -> None:
    assert (read([0, 4]).count, read([0, 4]).names) == (5, None)
    assert read([True, False]).values.tolist() == [1, 0]


@pytest.mark.parametrize("values", [[-1, -1], [None, None], []])
def test_an_unlabelled_split_has_no_labels(values: list[Any]) -> None:
    assert read_labels(values, None, "w", chosen=False) is None


@pytest.mark.parametrize(
    ("values", "names", "row", "bad"),
    [
        ([0, -1], None, 1, "-1"),
        ([0, 1, None], None, 2, "None"),
        (["a", None], None, 1, "None"),
        ([0, 2], ["a", "b"], 1, "2"),
    ],
)
@pytest.mark.parametrize("chosen", [True, False])
def test_a_partly_labelled_column_is_an_error(
    values: list[Any], names: list[str] | None, row: int, bad: str, chosen: bool
) -> None:
    with pytest.raises(DataError) as error:
        read_labels(values, names, "The column 'label' of d", chosen)
    assert str(error.value) == (
        f"The column 'label' of d labels row {row} with {bad}, which is not a class. "
        "Fix: choose another data.label_column, or 'none' to train without labels."
    )


def test_a_chosen_column_without_any_label_is_an_error() -> None:
    with pytest.raises(DataError, match="labels row 0 with -1"):
        read_labels([-1, -1], None, "w", chosen=True)
