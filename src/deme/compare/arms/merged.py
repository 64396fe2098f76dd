"""Experts merged with searched weights: DeMe's, and the merge methods that rival it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...decouple import Partition
from ...errors import ConfigError
from ...runs.spec import ExternalExpert, RunSpec
from ...runs.stages.search_check import require_possible_search
from ..contender import Contender, Setting
from ..tasks import Task, sibling
from .contract import Arm, Bench
from .experts import ExpertsArm
from .searched import (
    require_search,
    search_phases,
    search_result,
    search_spec,
    searched_contender,
)
from .trained import expert_folders, training_cost, training_phases


class MergedArm(Arm):
    """One stock model: experts merged, the weights searched as `deme search` does.

    With ``of`` the experts are those of another arm at the rate and average that it chose: a merge
    method's own setting is searched, on the same experts, without training and trials of its own.
    """

    kind: Literal["merged"]
    """Experts merged with searched weights."""
    of: str | None = None
    """An arm above of kind merged or experts, whose experts these are; None: experts of its own,
    searched at every learning rate."""
    decouple: dict[str, Any] = Field(default_factory=dict)
    """What differs from the base run's experts; keys of `decouple`."""
    search: dict[str, Any] = Field(default_factory=dict)
    """What differs from the base run's search, such as {merge_method: ties, parameters: {density:
    [0.1, 1]}}; keys of `search`. fisher and regmean take means: their bounds are [0, 1] unless
    they are given; statistics of the experts are collected."""

    @field_validator("search")
    @classmethod
    def _search_is_possible(cls, search: dict[str, Any]) -> dict[str, Any]:
        require_search(search)
        return search

    @model_validator(mode="after")
    def _one_source_of_experts(self) -> MergedArm:
        if self.of is not None and self.decouple:
            raise ValueError(f"decouple is that of the arm {self.of}; give `of` or `decouple`")
        return self

    def made_of(self) -> str | None:
        """The arm whose experts these are, where they are another's."""
        return self.of

    @property
    def tuned(self) -> bool:
        """Whether the experts are its own."""
        return self.of is None

    def experts_run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that trains the experts.

        Raises:
            ConfigError: ``of`` names an arm that has none.

        """
        if self.of is None:
            return bench.training_run(seed, setting, **self.decouple)
        arm = bench.arm(self.of)
        if isinstance(arm, MergedArm):
            return arm.experts_run(bench, seed, setting)
        if isinstance(arm, ExpertsArm):
            return arm.run(bench, seed, setting)
        raise ConfigError(
            f"The arm {self.of} has no experts to merge", fix="name one of kind merged or experts"
        )

    def search_run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that searches: the finished experts are given to it."""
        spec = self.experts_run(bench, seed, setting)
        folders = expert_folders(bench, spec, setting)
        experts = [
            ExternalExpert(
                path=str(folder),
                min_timestep=timesteps.low,
                max_timestep=timesteps.high,
                name=folder.name,
            )
            for folder, timesteps in zip(folders, _partition(bench, spec), strict=True)
        ]
        return search_spec(bench, seed, experts, self.search)

    def check(self, bench: Bench) -> None:
        """The trainings' settings, and whether such a search can be done.

        Raises:
            DemeError: see :func:`~deme.runs.stages.search_check.require_possible_search`.

        """
        super().check(bench)
        setting, own = bench.settings()[0], bench.context.spec
        search = self.search_run(bench, 0, setting).search
        spec = self.experts_run(bench, 0, setting).model_copy(
            update={"search": search, "evaluate": own.evaluate}
        )
        require_possible_search(sibling(bench.context, spec))

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The trainings, the averages, the statistics, and the search."""
        spec = self.experts_run(bench, seed, setting)
        phases = training_phases(spec, len(_partition(bench, spec)), setting)
        return [*phases, *search_phases(self.search_run(bench, seed, setting))]

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The merged pipeline."""
        spec = self.experts_run(bench, seed, setting)
        search = self.search_run(bench, seed, setting)
        found = search_result(bench, search)
        trained = training_cost(bench, spec, len(_partition(bench, spec)))
        facts = {
            "merge_method": search.search.merge_method,
            "weights": found["weights"],
            "parameters": found["parameters"],
        }
        return searched_contender(bench, search, trained, facts)


def _partition(bench: Bench, spec: RunSpec) -> Partition:
    return spec.decouple.partition(bench.context.denoiser.schedule.num_timesteps)
