"""Image reward: any function from images to numbers, as a table and as an objective."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ...errors import ConfigError, DataError, ModelError
from ...files import hash_file, hash_value
from ..evaluation import Tables
from .linear import LinearObjective
from .rows import table_named

RewardFunction = Callable[[Tensor], Tensor]
"""From uint8 images ``(B, C, H, W)`` to rewards ``(B,)``; higher is better."""
REWARD_TABLE = "reward"


class RewardObjective(LinearObjective):
    """``−mean reward`` of a table with one column.

    Args:
        table: the name of the table.

    """

    name = "reward"

    def __init__(self, table: str = REWARD_TABLE) -> None:
        self.reads = (table,)

    def row_values(self, tables: Tables) -> Tensor:
        """Minus each image's reward.

        Raises:
            DataError: the table has more than one column.

        """
        rewards = table_named(tables, self.reads[0])
        if rewards.shape[1] != 1:
            raise DataError(f"The table {self.reads[0]!r} has {rewards.shape[1]} columns, not one")
        return -rewards[:, 0]


class RewardColumn:
    """A reward function as the maker of a table: uint8 images in, float32 ``(B, 1)`` out.

    Args:
        function: the user's.
        name: how the user named it, for messages.

    """

    def __init__(self, function: RewardFunction, name: str) -> None:
        self.function = function
        self.name = name

    def __call__(self, images: Tensor) -> Tensor:
        """Rewards of uint8 images ``(B, C, H, W)``, without gradients, on the CPU.

        Raises:
            ModelError: the function returned something else than ``(B,)`` finite numbers.

        """
        with torch.no_grad():
            given: Any = self.function(images)
        if not isinstance(given, Tensor) or given.numel() != len(images) or given.ndim > 2:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ModelError(
                f"The reward {self.name} returned {shape} for {len(images)} images, not (B,)",
                fix="return a tensor with one number for each image",
            )
        rewards = given.detach().reshape(-1, 1).to("cpu", torch.float32)
        if not rewards.isfinite().all():
            bad = int((~rewards.isfinite()).sum())
            raise ModelError(
                f"The reward {self.name} is not finite for {bad} of {len(images)} images",
                fix="return a finite number for every image, black ones too",
            )
        return rewards


def load_reward(spec: str) -> RewardColumn:
    """The reward function that ``spec`` names.

    Args:
        spec: ``"module:function"``; the module is looked for among the installed ones and in the
            working folder, which is appended to Python's search path.

    Raises:
        ConfigError: not of this form, no such module or function, or a module that fails to load.

    """
    module_name, colon, function_name = spec.partition(":")
    if not (colon and module_name and function_name):
        raise ConfigError(
            f"The reward {spec!r} does not name a function",
            fix="write search.reward as module:function, such as my_rewards:sharpness",
        )
    module = _import(module_name, spec)
    function: Any = getattr(module, function_name, None)
    if not callable(function):
        public = sorted(
            name
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_")
        )
        what = "is not callable" if hasattr(module, function_name) else "does not exist"
        raise ConfigError(
            f"The reward {spec!r}: {function_name} {what} in {module_name}",
            choices=public,
            given=function_name,
        )
    return RewardColumn(cast(RewardFunction, function), spec)


def _import(module_name: str, spec: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"The reward {spec!r}: there is no module {error.name!r}",
                fix="start deme in the folder that holds it, or install it",
            ) from error
        raise ConfigError(
            f"The reward {spec!r}: {module_name} needs the module {error.name!r}",
            fix=f"install {error.name}",
        ) from error
    # whatever a user's own module raises while it loads is the user's to mend
    except Exception as error:
        raise ConfigError(
            f"The reward {spec!r}: {module_name} fails to load ({type(error).__name__}: {error})",
            fix="mend the module",
        ) from error


def reward_digest(spec: str) -> str:
    """A hash of the reward's name and of its module's source, where it has one.

    Raises:
        ConfigError: as for :func:`load_reward`.

    """
    module = sys.modules[load_reward(spec).function.__module__]
    source = Path(getattr(module, "__file__", None) or "")
    return hash_value([spec, hash_file(source) if source.is_file() else ""])
