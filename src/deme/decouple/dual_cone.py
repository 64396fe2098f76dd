"""The projection that UPGrad needs, by a solver that is here anyway.

torchjd's own needs quadprog, and solves a problem with a ridge of 1e-4 in place of UPGrad's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchjd.linalg import DualConeProjector, PSDMatrix


class NonNegativeProjector(DualConeProjector):
    """``argmin_{v ≥ u} vᵀGv`` for each row ``u``, by non-negative least squares.

    With ``G = AᵀA`` and ``v = u + x`` it is ``min_{x ≥ 0} ‖Ax + Au‖``, which Lawson and Hanson's
    active sets solve exactly (Quinton and Rey, arXiv:2406.16232, Proposition 1).
    """

    def __call__(self, U: Tensor, G: PSDMatrix) -> Tensor:
        """The weights ``v`` of the projections of ``Jᵀu``, shaped as ``U`` ``(…, m)``."""
        from scipy.optimize import nnls

        values, vectors = torch.linalg.eigh(G.double() / G.diagonal().max())
        root = (values.clamp(min=0).sqrt()[:, None] * vectors.T).numpy()
        rows = U.double().reshape(-1, len(G)).numpy()
        moved = np.stack([row + nnls(root, -root @ row)[0] for row in rows])
        return torch.from_numpy(moved).to(U).reshape(U.shape)
