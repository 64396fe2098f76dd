"""Which column holds the images, the labels and the captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .config import DataConfig

if TYPE_CHECKING:
    from datasets import Features

NO_COLUMN = "none"
IMAGE_NAMES = ("image", "images", "img", "picture", "pixel_values", "jpg", "png")
LABEL_NAMES = ("label", "labels", "class", "class_label", "fine_label", "category", "target", "cls")
CAPTION_NAMES = ("text", "caption", "captions", "prompt", "sentence", "description", "txt")


@dataclass(frozen=True)
class Columns:
    """The columns to read."""

    image: str
    label: str | None
    caption: str | None


def find_columns(features: Features, config: DataConfig, name: str) -> Columns:
    """Find the columns that are configured, or those that their types and names give away.

    A usual name (``image``, ``img``, ``label``, ``text``, …) on a column of a fitting type comes
    first; then, for images and labels, a type that says it all (an image, a class label).

    Args:
        features: the data set's columns and types.
        config: the configuration.
        name: the data set, for messages.

    Raises:
        DataError: a named column is missing or of a type that does not fit, there is no image
            column, or there are several that could be meant.

    """
    finder = _Finder(features, name)
    image = finder.named("image", config.image_column, _could_be_image) or finder.found(
        "image", _named(features, IMAGE_NAMES, _is_image), _of_type(features, _is_image),
        _named(features, IMAGE_NAMES, _could_be_image),
    )  # fmt: skip
    if image is None:
        raise DataError(
            f"{name} has no column of images; its columns are {finder.columns}",
            fix="name the column with data.image_column, or choose another dataset or config_name",
        )
    label = finder.named("label", config.label_column, _could_be_label)
    if config.label_column is None:
        label = finder.found(
            "label", _named(features, LABEL_NAMES, _could_be_label),
            _of_type(features, _is_class_label),
        )  # fmt: skip
    caption = finder.named("caption", config.caption_column, _could_be_caption)
    if config.caption_column is None:
        rest = {key: feature for key, feature in features.items() if key != label}
        caption = finder.found("caption", _named(rest, CAPTION_NAMES, _could_be_caption))
    return Columns(image, label, caption)


class _Finder:
    def __init__(self, features: Features, name: str) -> None:
        self._features = features
        self._name = name
        described = [f"{key} ({_type_name(feature)})" for key, feature in features.items()]
        self.columns = ", ".join(described)

    def named(self, role: str, column: str | None, fits: Callable[[Any], bool]) -> str | None:
        if column is None or (column == NO_COLUMN and role != "image"):
            return None
        if column not in self._features:
            raise DataError(
                f"{self._name} has no column {column!r} (data.{role}_column)",
                choices=list(self._features),
                given=column,
                fix=f"set data.{role}_column to one of them",
            )
        if not fits(self._features[column]):
            raise DataError(
                f"The column {column!r} of {self._name} cannot be its {role} column: it is "
                f"{_type_name(self._features[column])}; the columns are {self.columns}",
                fix=f"set data.{role}_column to another",
            )
        return column

    def found(self, role: str, *pools: Sequence[str]) -> str | None:
        pool = next((pool for pool in pools if pool), None)
        if pool is None:
            return None
        if len(pool) > 1:
            leave_out = "" if role == "image" else f", or to {NO_COLUMN!r} to leave it out"
            raise DataError(
                f"{self._name} has {len(pool)} columns that could be its {role} column; "
                f"its columns are {self.columns}",
                choices=pool,
                fix=f"set data.{role}_column to one of them{leave_out}",
            )
        return pool[0]


def _named(
    features: dict[str, Any], names: Sequence[str], fits: Callable[[Any], bool]
) -> list[str]:
    return [key for key, kind in features.items() if key.lower() in names and fits(kind)]


def _of_type(features: dict[str, Any], fits: Callable[[Any], bool]) -> list[str]:
    return [key for key, kind in features.items() if fits(kind)]


def _is_image(feature: Any) -> bool:
    from datasets import Array2D, Array3D, Image

    encoded = isinstance(feature, dict) and set(feature) == {"bytes", "path"}
    return encoded or isinstance(feature, Image | Array2D | Array3D)


def _could_be_image(feature: Any) -> bool:
    from datasets import LargeList, List

    nested = isinstance(feature, List | LargeList) and isinstance(feature.feature, List | LargeList)
    return _is_image(feature) or nested or _dtype(feature) in ("binary", "large_binary")


def _is_class_label(feature: Any) -> bool:
    from datasets import ClassLabel

    return isinstance(feature, ClassLabel)


def _could_be_label(feature: Any) -> bool:
    return _is_class_label(feature) or _dtype(feature).startswith(("int", "uint", "bool", "string"))


def _could_be_caption(feature: Any) -> bool:
    from datasets import LargeList, List

    if isinstance(feature, List | LargeList):
        feature = feature.feature
    return _dtype(feature) in ("string", "large_string")


def _dtype(feature: Any) -> str:
    from datasets import Value

    return str(feature.dtype) if isinstance(feature, Value) else ""


def _type_name(feature: Any) -> str:
    return _dtype(feature) or type(feature).__name__
