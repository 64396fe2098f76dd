"""What a run ran on: versions and devices, for the report and for `deme doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .context import RunContext

PACKAGES = (
    "deme",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "safetensors",
    "huggingface-hub",
    "datasets",
    "numpy",
    "pydantic",
)
EXTRAS = {"track": ("tensorboard", "wandb")}


def versions() -> dict[str, str]:
    """Installed versions of what results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def devices() -> list[str]:
    """The devices that training could use, the best first."""
    found = [
        f"cuda:{index} {torch.cuda.get_device_name(index)}"
        for index in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, f"cpu ({torch.get_num_threads()} threads)"]


def missing_extras() -> dict[str, list[str]]:
    """Extras with packages that are not installed."""
    absent = {
        extra: [name for name in packages if importlib.util.find_spec(name) is None]
        for extra, packages in EXTRAS.items()
    }
    return {extra: names for extra, names in absent.items() if names}


def describe_environment(context: RunContext) -> dict[str, Any]:
    """Versions, platform and device of this process."""
    return {
        **versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": str(context.accelerator.device),
        "threads": torch.get_num_threads(),
    }
