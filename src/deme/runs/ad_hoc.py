"""From what was typed after ``deme search`` to a RunSpec: a configuration, or base and experts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import parse_config
from ..denoisers.loading import BUNDLED, WEIGHT_FILES
from ..errors import ConfigError, nearest
from .expert_names import name_experts
from .overrides import apply_override
from .recipes import list_recipes, load_spec
from .spec import RunSpec

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "data": ("data.dataset",),
    "detector": ("detector",),
    "images": ("search.images",),
    "sampler": ("search.sampler", "evaluate.sampler"),
    "sampler_steps": ("search.sampler_steps", "evaluate.sampler_steps"),
    "strategy": ("search.strategy",),
    "objective": ("search.objective",),
    "evaluations": ("search.evaluations",),
    "bounds": ("search.bounds",),
    "per": ("search.per",),
    "seed": ("search.seed",),
    "workers": ("runtime.workers",),
}
"""Options of the command line, and the keys of the configuration that each sets."""
YAML_SUFFIXES = (".yaml", ".yml")
DETECTOR = "inception"
"""What real images are looked at with where the user names nothing."""
EXAMPLE = "deme search BASE --expert a.safetensors=0:500 --expert b.safetensors=500:1000"
_RANGE = re.compile(r"\s*(\d+)?\s*:\s*(\d+)?\s*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class SearchRequest:
    """What was typed.

    Attributes:
        target: a configuration or a recipe; the base model where experts are named.
        experts: as ``PATH=LOW:HIGH`` or ``PATH``.
        options: values of :data:`OPTIONS`; None where an option was not given.
        overrides: ``dotted.key=value``, which come last.

    """

    target: str
    experts: tuple[str, ...] = ()
    options: Mapping[str, str | int | None] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    def spec(self) -> RunSpec:
        """The run that is meant.

        Raises:
            ConfigError: no images, no experts, an expert that is not there, or a value that is not
                valid; the message says what to type instead.

        """
        if not self.experts:
            self._require_configuration()
            return load_spec(self.target, [*self._typed(), *self.overrides])
        self._require_base()
        values = self._values()
        for override in (*self._typed(), *self.overrides):
            apply_override(values, override)
        if not values.get("data"):
            raise ConfigError(
                "No images were named: merging weights are judged by the distance to real ones",
                fix="give --data: a folder of images, or a data set's name",
            )
        values.setdefault("detector", default_detector(self.target, values["data"]))
        return parse_config(RunSpec, values)

    def _values(self) -> dict[str, Any]:
        """A run that trains nothing and judges with images that its search did not see."""
        return {
            "name": name_experts([self.target])[0],
            "model": self.target,
            "experts": [parse_expert(text) for text in self.experts],
            "decouple": {"steps": 0},
            "joint": {"enabled": False},
            "evaluate": {
                "arms": ["pretrained", "routed", "uniform", "merged"],
                "reference": "halves",
            },
        }

    def _typed(self) -> Iterator[str]:
        """The options as overrides."""
        readers = {"objective": parse_objective, "bounds": parse_bounds}
        for option, given in self.options.items():
            if given is not None:
                value = readers[option](str(given)) if option in readers else given
                for key in OPTIONS[option]:
                    yield f"{key}={json.dumps(value, ensure_ascii=False)}"

    def _require_configuration(self) -> None:
        recipes = list_recipes()
        if self.target in recipes or Path(self.target).expanduser().is_file():
            return
        raise ConfigError(
            f"{self.target!r} is neither a YAML file here nor a shipped recipe; and as a model, it "
            "needs experts",
            choices=recipes,
            given=self.target,
            fix=f"give a configuration, or name experts of the model: {EXAMPLE} --data images/",
        )

    def _require_base(self) -> None:
        if self.target.endswith(YAML_SUFFIXES):
            raise ConfigError(
                f"{self.target} is a configuration, which names its experts itself",
                fix="write them below `experts:` in it; or give the base model in its place",
            )
        is_recipe = self.target in list_recipes() and self.target not in BUNDLED
        if is_recipe and not Path(self.target).is_dir():
            raise ConfigError(
                f"{self.target} is a recipe, which trains its experts",
                fix=f"give its model in place of it: {load_spec(self.target).model.path}",
            )
        _require_here(self.target, "base model", "a pipeline's folder")


def default_detector(base: str, data: object) -> str:
    """The bundled network for the bundled digits, ``inception`` (so that it is FID) for others.

    Args:
        base: the model's path.
        data: the data section, or the data set's name alone.

    """
    dataset = data.get("dataset") if isinstance(data, dict) else data
    return "digits" if base in BUNDLED or dataset in BUNDLED else DETECTOR


def parse_expert(text: str) -> dict[str, Any]:
    """An expert as typed: ``PATH=LOW:HIGH``, ``PATH=LOW:``, ``PATH=:HIGH``, or ``PATH`` alone.

    A path may have ``=`` and ``:`` in it: the range is what follows the last ``=``.

    Returns:
        ``path``, ``min_timestep`` and ``max_timestep``, None where it was left out.

    Raises:
        ConfigError: a range that is none, or a file that is not here.

    """
    path, equals, owned = text.rpartition("=")
    if not equals or Path(text).expanduser().exists():
        path, owned = text, ":"
    found = _RANGE.fullmatch(owned)
    ends = found.groups() if found else ("0", "0")
    low, high = (None if end is None else int(end) for end in ends)
    if not path or (high is not None and (low or 0) >= high):
        raise ConfigError(
            f"--expert {text} is not PATH=LOW:HIGH with 0 <= LOW < HIGH",
            fix="write the timesteps that it was trained on, the end not included, as in "
            f"--expert {path or 'a.safetensors'}=0:500; or the path alone, for all of them",
        )
    _require_here(path, "expert", "a LoRA, a file of weights or a pipeline's folder")
    return {"path": path, "min_timestep": low, "max_timestep": high}


def parse_bounds(text: str) -> list[float]:
    """``LOW:HIGH``, the smallest and the largest merging weight.

    Raises:
        ConfigError: it is not of that form.

    """
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise ConfigError(
            f"--bounds {text} is not LOW:HIGH", fix="write for example --bounds -0.5:1.5"
        ) from None
    return [low, high]


def parse_objective(text: str) -> str | dict[str, float]:
    """``NAME``, or ``NAME=COEFFICIENT,NAME=COEFFICIENT`` for a weighted sum.

    Raises:
        ConfigError: a coefficient is no number.

    """
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): float(coefficient) for name, _, coefficient in pairs}
    except ValueError:
        raise ConfigError(
            f"--objective {text} is not NAME=COEFFICIENT, separated by commas",
            fix="write for example --objective frechet=1,loss=10",
        ) from None


def _require_here(path: str, what: str, kinds: str) -> None:
    """A path is here, or may be on the hub: nothing else is asked of the hub."""
    here = Path(path).expanduser()
    parent = here.parent
    may_be_hub_id = _HUB_ID.fullmatch(path) and not parent.is_dir()
    if path in BUNDLED or here.exists() or (may_be_hub_id and here.suffix not in WEIGHT_FILES):
        return
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    near = nearest(here.name, beside)
    hint = f" Did you mean {str(parent / near)!r}?" if near else ""
    raise ConfigError(
        f"There is no {what} {path} here.{hint}", fix=f"give {kinds} that is here, or a hub id"
    )
