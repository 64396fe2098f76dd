"""A merge as it is asked for on a command line: from the request to the recipe to the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..config import parse_config
from ..errors import ConfigError
from .byte_progress import ByteProgress, Report, megabytes
from .describing import describe_plan, describe_result, plan_values
from .model_files import MAX_SHARD_BYTES
from .output_place import require_output
from .planning import plan_merge
from .recipe import MergeRecipe, read_recipe
from .settings import Setting, parse_setting
from .streaming import default_workers
from .writing import write_merge

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class MergeRequest:
    """What was typed."""

    base: str | None = None
    experts: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    merge_method: str = "task_arithmetic"
    parameters: tuple[str, ...] = ()
    dtype: str = "float32"
    seed: int = 0
    variant: str | None = None
    again: Path | None = None
    """A merged model whose recipe is to be repeated."""

    def recipe(self) -> tuple[MergeRecipe, Path]:
        """The recipe that is meant, and the folder that its relative paths start from.

        Raises:
            ConfigError: both a recipe and experts, neither, or a wrong number of weights.

        """
        file = self.again
        if file is None and self.base is not None and self.base.endswith(YAML_SUFFIXES):
            file = Path(self.base)
        if file is not None:
            self._require_recipe_alone()
            return read_recipe(file)
        if self.base is None or not self.experts:
            raise ConfigError(
                "A merge needs a base and at least one expert",
                fix="deme merge BASE EXPERT…, deme merge recipe.yaml, or deme merge --from merged/",
            )
        if self.weights and len(self.weights) != len(self.experts):
            raise ConfigError(
                f"{len(self.experts)} experts need {len(self.experts)} weights, "
                f"not {len(self.weights)}",
                fix="give -w once for each expert, as in -w 0.3 -w -0.5; or none, for 1/N each",
            )
        return parse_config(MergeRecipe, self._values(self.base)), Path()

    def _values(self, base: str) -> dict[str, Any]:
        weights: list[Setting] = [parse_setting(text) for text in self.weights]
        equal: list[Setting] = [1 / len(self.experts)] * len(self.experts)
        models = [
            {"model": path, "parameters": {"weight": weight}}
            for path, weight in zip(self.experts, weights or equal, strict=True)
        ]
        return {
            "merge_method": self.merge_method,
            "base_model": base,
            "base_variant": self.variant,
            "models": models,
            "parameters": _parameters(self.parameters),
            "dtype": self.dtype,
            "seed": self.seed,
        }

    def _require_recipe_alone(self) -> None:
        default = MergeRequest()
        given = [
            name
            for name in ("weights", "merge_method", "parameters", "dtype", "seed", "variant")
            if getattr(self, name) != getattr(default, name)
        ]
        given += ["experts"] if self.experts or (self.again and self.base) else []
        if given:
            raise ConfigError(
                f"A recipe says all of it, and {', '.join(given)} were given beside it",
                fix="write them into a copy of the recipe",
            )


def _parameters(texts: Sequence[str]) -> dict[str, Setting]:
    given: dict[str, Setting] = {}
    for name, value in map(_parameter, texts):
        if name in given:
            raise ConfigError(
                f"--parameter {name} is given twice",
                fix="give it once; what differs between experts goes into a recipe, under models",
            )
        given[name] = value
    return given


def _parameter(text: str) -> tuple[str, Setting]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise ConfigError(f"--parameter {text} is not NAME=VALUE", fix="--parameter density=0.5")
    if "," in value:
        return name, parse_setting(value)
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--parameter {text} has no valid value: {error}") from error


class MergeJob:
    """A request with its inputs open.

    Args:
        request: what was asked for.
        output: the new model; None calls it ``merged``.
        only_tried: nothing will be written.
        allow_code: whether a recipe's own Python file may be run.
        overwrite: whether an output that exists is replaced.
        workers: threads; None takes one for each core.
        max_shard_bytes: files of weights are split from this size on.

    Raises:
        DemeError: the recipe, the base or an expert is not valid; see :func:`plan_merge`.

    """

    def __init__(
        self,
        request: MergeRequest,
        output: Path | None = None,
        *,
        only_tried: bool = False,
        allow_code: bool = False,
        overwrite: bool = False,
        workers: int | None = None,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        recipe, self.origin = request.recipe()
        self.overwrite = overwrite
        self.workers = workers or default_workers()
        self.max_shard_bytes = max_shard_bytes
        if output is not None and not only_tried:
            require_output(output, overwrite)
        self.plan = plan_merge(recipe, self.origin, allow_code=allow_code)
        default = "merged.safetensors" if self.plan.base.form == "file" else "merged"
        self.output = Path(default) if output is None else output

    @property
    def megabytes(self) -> int:
        """How much will be written, for a progress bar."""
        return megabytes(self.plan.bytes_written)

    def describe(self) -> list[tuple[str, str]]:
        """What would be done, tried on some of the tensors."""
        seconds = self.plan.estimate_seconds(self.workers)
        return describe_plan(self.plan, self.output, seconds)

    def plan_values(self) -> Mapping[str, Any]:
        """The same for machines."""
        return plan_values(self.plan, self.plan.estimate_seconds(self.workers))

    def run(self, progress: Report = lambda written, total: None) -> list[str]:
        """Writes the merged model.

        Args:
            progress: told how many megabytes are written, and how many there will be.

        Returns:
            What there is to say about it.

        """
        result = write_merge(
            self.plan,
            self.output,
            origin=self.origin,
            overwrite=self.overwrite,
            workers=self.workers,
            max_shard_bytes=self.max_shard_bytes,
            progress=ByteProgress(self.plan.bytes_written, progress),
        )
        return describe_result(self.plan, result)
