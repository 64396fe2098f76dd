"""Runs: the configuration, the folder and the stages of the main job.

=======================  =======================================================================
:class:`RunSpec`         the whole configuration; :func:`load_spec` reads it from YAML or a recipe
:class:`RunStore`        the run's folder: artifacts named by what they were made from
:class:`RunContext`      the model, the images and the detectors, loaded once when first needed
:func:`run_job`          all stages in order; each is idempotent, so the same command resumes
:func:`plan`             what a run would cost, without running it
=======================  =======================================================================
"""

from .context import RunContext
from .job import STAGES, run_job
from .plan import Plan, plan
from .recipes import list_recipes, load_spec
from .spec import RunSpec
from .store import RunStore

__all__ = [
    "STAGES",
    "Plan",
    "RunContext",
    "RunSpec",
    "RunStore",
    "list_recipes",
    "load_spec",
    "plan",
    "run_job",
]
