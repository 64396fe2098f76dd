"""What to learn from: the ``data`` part of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Config

Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]


class DataConfig(Config):
    """Images, and the labels and captions that may come with them."""

    dataset: str
    """`digits` (the UCI set that scikit-learn ships), a hub dataset id, a local folder in a hub's
    layout (parquet), or a folder of images (class sub-folders give labels, `metadata.jsonl` or
    `metadata.csv` gives captions). Write `./digits` for a local folder of that name."""

    config_name: str | None = None
    """The dataset's configuration (a hub's "subset"), where it has more than one."""

    split: str = "train"
    """The split, also a slice of it: `train[:10%]`."""

    revision: str | None = None
    """A hub dataset's branch, tag or commit."""

    image_column: str | None = None
    """The column of images; found by its type or name when not given."""

    label_column: str | None = None
    """The column of labels; found by its type or name when not given; `none` leaves them out."""

    caption_column: str | None = None
    """The column of captions; found by its name when not given; `none` leaves them out. Where a
    row holds a list of captions, its first is taken."""

    resolution: int | None = Field(default=None, ge=1)
    """Width and height in pixels; the model's own when not given."""

    center_crop: bool = True
    """Crop the centre. `false` crops at a random place, drawn anew each time."""

    random_flip: bool = False
    """Mirror each image left to right with probability 1/2, drawn anew each time."""

    interpolation: Interpolation = "bilinear"
    """How images are resized (Pillow's, antialiased)."""

    background: int = Field(default=255, ge=0, le=255)
    """The grey level behind transparent pixels: 0 is black, 255 is white."""

    max_images: int | None = Field(default=None, ge=2)
    """Use no more than this many images, spread evenly over the split."""

    strict: bool = False
    """Stop at a broken image. Otherwise it is reported by name, skipped and counted."""

    cache: Literal["auto", "memory", "stream"] = "auto"
    """`memory` decodes every image once, `stream` each time it is used; `auto` takes `memory`
    where the decoded images fit."""

    cache_limit_gb: float = Field(default=4.0, gt=0)
    """The most that `auto` keeps in memory, in units of 2³⁰ bytes."""
