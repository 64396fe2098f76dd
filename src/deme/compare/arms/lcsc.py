"""LCSC: the checkpoints of one training combined, the coefficients found by evolution."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ...decouple.power_average import LARGEST_WIDTH
from ...errors import ConfigError
from ...runs.spec import ExternalExpert, RunSpec
from ..contender import Contender, Setting
from ..tasks import AverageTask, Task, TrainTask, average_artifact, sibling
from .contract import Arm, Bench
from .finetune import FinetuneArm
from .searched import search_phases, search_result, search_spec, searched_contender
from .trained import training_cost


class LcscArm(Arm):
    """A linear combination of one finetuning's checkpoints (Liu et al., arXiv:2404.02241).

    ``θ = Σ_k c_k θ_k`` with ``Σ c_k = 1`` and coefficients of any sign. The pretrained weights are
    the checkpoint of step 0, so ``θ_0 + Σ_{k≥1} w_k (θ_k − θ_0)`` keeps the sum at one whatever the
    ``w``, and ``c_0 = 1 − Σ w_k``. The search is that of `deme search` with its strategy evolution:
    coefficients of two parents mixed and mutated by normal steps, the fittest kept, by what the
    search minimises on its own noise.

    Where we differ from the paper: its checkpoints are of the end of a long training, a few hundred
    of them, and its population starts from the coefficients of exponential averages; ours are
    evenly spaced over a finetuning, pretrained weights included, and the population starts from
    each checkpoint alone and from their mean.
    """

    kind: Literal["lcsc"]
    """Checkpoints of one finetuning, combined."""
    of: str | None = None
    """An arm above of kind finetune: its training is repeated at the rate that it chose, with
    checkpoints. None: a finetuning of its own, searched at every learning rate."""
    decouple: dict[str, Any] = Field(default_factory=dict)
    """What differs from plain finetuning; keys of `decouple`."""
    checkpoints: int = Field(default=8, ge=1)
    """How many, evenly spaced; the last is the end of the training."""
    width: float = Field(default=0.01, gt=0, le=LARGEST_WIDTH)
    """Each is a mean of the weights over about this part of the steps before it: EDM2's σ_rel."""
    evaluations: int | None = Field(default=None, ge=1)
    """Combinations that are tried beside the anchors. None: 40 for each checkpoint."""
    bounds: tuple[float, float] = (-1.0, 1.5)
    """Smallest and largest coefficient of a checkpoint."""

    @model_validator(mode="after")
    def _one_training(self) -> LcscArm:
        if self.of is not None and self.decouple:
            raise ValueError(f"decouple is that of the arm {self.of}; give `of` or `decouple`")
        if self.bounds[0] >= self.bounds[1]:
            raise ValueError("bounds must be [low, high] with low < high")
        return self

    def made_of(self) -> str | None:
        """The arm whose training it repeats."""
        return self.of

    @property
    def tuned(self) -> bool:
        """Whether the training is its own."""
        return self.of is None

    def run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that trains and keeps checkpoints.

        Raises:
            ConfigError: ``of`` names an arm that is no finetuning.

        """
        arm = FinetuneArm(kind="finetune", decouple=self.decouple)
        if self.of is not None:
            named = bench.arm(self.of)
            if not isinstance(named, FinetuneArm):
                raise ConfigError(
                    f"The arm {self.of} is no finetuning, whose checkpoints could be combined",
                    fix="name an arm of kind finetune",
                )
            arm = named
        kept = {"snapshots": self.checkpoints, "snapshot_sigmas": [self.width]}
        arm = arm.model_copy(update={"decouple": {**arm.decouple, **kept}})
        return arm.run(bench, seed, setting)

    def search_run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that searches the coefficients."""
        spec = self.run(bench, seed, setting)
        run = sibling(bench.context, spec)
        (trained,) = run.experts
        checkpoints = [
            ExternalExpert(
                path=str(run.store.path / average_artifact(trained.name, self.width, step)),
                min_timestep=trained.timesteps.low,
                max_timestep=trained.timesteps.high,
                name=f"step-{step:06d}",
            )
            for step in _steps(spec)
        ]
        search = {
            "strategy": "evolution",
            "evaluations": self.evaluations,
            "bounds": self.bounds,
            "per": "expert",
            "merge_method": "task_arithmetic",
            "parameters": {},
            "pareto": (),
        }
        return search_spec(bench, seed, checkpoints, search)

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The training, its checkpoints as models, and the search."""
        spec = self.run(bench, seed, setting)
        text = spec.model_dump_json()
        checkpoints: list[Task] = [AverageTask(text, 0, self.width, step) for step in _steps(spec)]
        search = search_phases(self.search_run(bench, seed, setting))
        return [[TrainTask(text, 0)], checkpoints, *search]

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The combination that was found."""
        spec = self.run(bench, seed, setting)
        search = self.search_run(bench, seed, setting)
        found = search_result(bench, search)
        coefficients = [1 - sum(found["weights"]), *found["weights"]]
        steps = [0, *_steps(spec)]
        facts = {"steps": steps, "coefficients": coefficients}
        return searched_contender(bench, search, training_cost(bench, spec, 1), facts)


def _steps(spec: RunSpec) -> tuple[int, ...]:
    return spec.decouple.snapshot_schedule().steps
