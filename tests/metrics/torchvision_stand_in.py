"""torch-fidelity beside a PyTorch that no torchvision fits, as its CPU build has none on PyPI.

torch-fidelity imports torchvision at once and uses of it: the conversion of a picture to a tensor
and the composition of such steps (for folders of images), data sets and VGG16. The first two are
given here, the rest only as names. So its Inception, its statistics and its reading of folders
run; its DINOv2, CLIP, VGG16 and LPIPS networks do not, and nothing tests them.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor


def pil_to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class Compose:
    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps

    def __call__(self, picture: Any) -> Any:
        for step in self.steps:
            picture = step(picture)
        return picture


def torch_fidelity() -> Any:
    """The package, with torchvision itself where that can be imported; skips where it is absent."""
    if "torch_fidelity" in sys.modules:
        return sys.modules["torch_fidelity"]
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed (pip install --no-deps torch-fidelity)")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        return _import_with_stand_in()
    return importlib.import_module("torch_fidelity")


def _import_with_stand_in() -> Any:
    """The stand-in is taken away again, so that nothing else takes it for torchvision."""
    names = ("", ".datasets", ".transforms", ".transforms.functional", ".models")
    modules: dict[str, Any] = {f"torchvision{name}": ModuleType("torchvision") for name in names}
    root, datasets, transforms, functional, models = modules.values()
    root.transforms, root.models, root.datasets = transforms, models, datasets
    transforms.functional, transforms.Compose = functional, Compose
    functional.pil_to_tensor = pil_to_tensor
    for name in ("CIFAR10", "STL10", "CIFAR100"):
        setattr(datasets, name, type(name, (), {}))
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        return importlib.import_module("torch_fidelity")
