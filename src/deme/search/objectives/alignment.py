"""The CLIP score as an objective: how well images fit the captions they were drawn for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import DataError
from ...metrics.statistics import require_features, require_same_dimensions
from ..evaluation import Tables
from .linear import LinearObjective
from .rows import table_named

SCALE = 100.0


class AlignmentObjective(LinearObjective):
    """``−mean max(100 cos(x_n, t_n), 0)`` of image embeddings x and their captions' embeddings t.

    The CLIP score (Hessel et al., arXiv:2104.08718) on the scale of 100 that text-to-image papers
    print, with its sign turned so that lower is better. Neither side need have length one.

    Args:
        text_features: embeddings ``(N, E)`` of the captions, row n that of image n. Candidates with
            fewer images use the first of them.
        table: the name of the table of image embeddings, by the same model.

    Raises:
        DataError: text features that are not a finite table.

    """

    name = "clip_score"

    def __init__(self, text_features: Tensor, table: str) -> None:
        require_features(text_features)
        self.reads = (table,)
        self.text = functional.normalize(text_features.to(torch.float64), dim=1)

    def row_values(self, tables: Tables) -> Tensor:
        """``−max(100 cos, 0)`` of each image.

        Raises:
            DataError: there are more images than captions.
            ProtocolError: the embeddings are of different dimensions.

        """
        images = table_named(tables, self.reads[0])
        require_same_dimensions(self.text.shape[1], images.shape[1])
        if len(images) > len(self.text):
            raise DataError(
                f"There are {len(images)} images and {len(self.text)} captions",
                fix="embed the caption of every image",
            )
        cosines = (functional.normalize(images, dim=1) * self.text[: len(images)]).sum(1)
        return -(SCALE * cosines).clamp(min=0)
