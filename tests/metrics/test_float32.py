from typing import Any

import pytest
import torch

from deme.metrics.float32 import full_float32


def test_tf32_is_off_inside_and_as_before_outside() -> None:
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        with pytest.raises(KeyError), full_float32(torch.device("cpu")):
            if hasattr(cudnn, "conv"):  # this PyTorch has the newer switches
                assert cudnn.conv.fp32_precision == matmul.fp32_precision == "ieee"
            else:
                assert not (matmul.allow_tf32 or cudnn.allow_tf32)
            raise KeyError
        assert matmul.allow_tf32 and cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def test_autocast_is_off_inside() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), full_float32(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
