"""Columns are found by type and name; what is missing or ambiguous is said with the columns."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Array3D, ClassLabel, Features, Image, List, Value

from deme.data import DataConfig
from deme.data.columns import Columns, find_columns
from deme.errors import DataError

TEXT, NUMBER = Value("string"), Value("int64")


def found(features: dict[str, Any], **settings: Any) -> Columns:
    return find_columns(Features(features), DataConfig(dataset="d", **settings), "my-set")


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"img": Image(), "label": ClassLabel(names=["a"])}, Columns("img", "label", None)),
        ({"image": Image(), "text": TEXT, "group": TEXT}, Columns("image", None, "text")),
        ({"strange": Image(), "digit": ClassLabel(names=["a"])}, Columns("strange", "digit", None)),
        ({"image": Image(), "mask": Image()}, Columns("image", None, None)),
        (
            {
                "img": Image(),
                "fine_label": ClassLabel(names=["a"]),
                "coarse_label": ClassLabel(names=["b"]),
            },
            Columns("img", "fine_label", None),
        ),
        ({"jpg": Value("binary"), "caption": List(TEXT)}, Columns("jpg", None, "caption")),
        ({"x": {"bytes": Value("binary"), "path": TEXT}}, Columns("x", None, None)),
        ({"x": Array3D((3, 4, 4), "uint8"), "Label": TEXT}, Columns("x", "Label", None)),
        ({"image": List(List(Value("uint8"))), "labels": NUMBER}, Columns("image", "labels", None)),
        ({"image": Image(), "label": Value("float32")}, Columns("image", None, None)),
        ({"image": Image(), "id": TEXT, "year": NUMBER}, Columns("image", None, None)),
    ],
)
def test_columns_are_found(features: dict[str, Any], expected: Columns) -> None:
    assert found(features) == expected


def test_named_columns_win_and_none_leaves_out() -> None:
    features = {"a": Image(), "image": Image(), "label": NUMBER, "n": NUMBER, "text": TEXT}
    assert found(features, image_column="a", label_column="n") == Columns("a", "n", "text")
    assert found(features, label_column="none", caption_column="none") == Columns(
        "image", None, None
    )


def test_no_image_column_lists_the_columns() -> None:
    with pytest.raises(DataError) as error:
        found({"id": NUMBER, "text": TEXT})
    assert str(error.value) == (
        "my-set has no column of images; its columns are id (int64), text (string). "
        "Fix: name the column with data.image_column, or choose another dataset or config_name."
    )


@pytest.mark.parametrize(
    ("features", "role", "choices"),
    [
        ({"left": Image(), "right": Image()}, "image", "left, right"),
        ({"image": Image(), "img": Image()}, "image", "image, img"),
        ({"image": Image(), "label": NUMBER, "target": NUMBER}, "label", "label, target"),
        (
            {"image": Image(), "a": ClassLabel(names=["x"]), "b": ClassLabel(names=["x"])},
            "label",
            "a, b",
        ),
        ({"image": Image(), "text": TEXT, "caption": TEXT}, "caption", "text, caption"),
    ],
)
def test_ambiguity_is_an_error_with_the_choices(
    features: dict[str, Any], role: str, choices: str
) -> None:
    with pytest.raises(DataError) as error:
        found(features)
    message = str(error.value)
    assert f"2 columns that could be its {role} column" in message
    assert f"Choices: {choices}." in message
    assert f"Fix: set data.{role}_column to one of them" in message
    assert all(name in message for name in features)
    assert ("'none'" in message) == (role != "image")


def test_a_missing_column_suggests_the_nearest() -> None:
    with pytest.raises(DataError) as error:
        found({"image": Image(), "text": TEXT}, caption_column="txt")
    assert str(error.value) == (
        "my-set has no column 'txt' (data.caption_column). Did you mean 'text'? "
        "Choices: image, text. Fix: set data.caption_column to one of them."
    )


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"image_column": "text"}, "string"),
        ({"label_column": "score"}, "float32"),
        ({"caption_column": "score"}, "float32"),
    ],
)
def test_a_column_of_the_wrong_type_is_an_error(settings: dict[str, str], kind: str) -> None:
    with pytest.raises(DataError, match=f"it is {kind}; the columns are image"):
        found({"image": Image(), "text": TEXT, "score": Value("float32")}, **settings)
