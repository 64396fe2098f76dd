"""Optuna's samplers behind our seam: TPE, Gaussian processes, NSGA-II."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from ...errors import ConfigError
from ...randomness import derive_seed
from ..space import Box, Candidate
from .penalty import Penalty
from .rounds import Rounds, RoundStrategy, Values

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

SamplerName = Literal["tpe", "gp", "nsga2"]


class OptunaStrategy(RoundStrategy):
    """One of Optuna's samplers on a study in memory of its own.

    tpe: tree-structured Parzen estimators (Bergstra et al. 2011), of one objective or several; what
    is being evaluated counts as bad meanwhile, so that a round's candidates differ. gp: a Gaussian
    process and expected improvement, of the round as a whole. nsga2: Deb's genetic algorithm
    (2002), of several objectives. Anchors are told first, as trials. Infinite values are replaced,
    see :class:`~.penalty.Penalty`.

    Precision, in parts of the bounds' width and in every weight, on quadratics of up to 4 weights
    that do not interact: gp 0.05 after ``5 N + 5`` evaluations, tpe 0.2 after ``20 N``, nsga2 0.2
    after ``40 N`` and 0.3 where the best is on the border. gp takes up to seconds for a candidate;
    where it has converged it comes to known candidates again, and the search ends.

    Args:
        box: the bounds.
        sampler: which one.
        evaluations: how many beside the anchors.
        batch: candidates asked for at once.
        seed: of the draws.
        objectives: how many values a candidate has; several only with tpe and nsga2.

    Raises:
        ConfigError: several objectives and a sampler of one.

    """

    def __init__(
        self,
        box: Box,
        sampler: SamplerName,
        evaluations: int,
        *,
        batch: int = 2,
        seed: int = 0,
        objectives: int = 1,
    ) -> None:
        super().__init__(box, evaluations)
        if objectives > 1 and sampler == "gp":
            raise ConfigError(
                f"search.strategy gp minimises one objective, not {objectives}",
                choices=("tpe", "nsga2"),
            )
        self.sampler = sampler
        self.batch = batch
        self.seed = seed
        self.objectives = objectives
        with _quiet():
            self.study = self._new_study()
        self.penalty = Penalty()

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The anchors as trials, then ``batch`` candidates a round."""
        self._add(anchors)
        while True:
            with _quiet():
                trials = [self.study.ask() for _ in range(self.batch)]
                asked = [self._candidate(trial) for trial in trials]
            self._tell(trials, (yield asked))

    def _add(self, anchors: Mapping[Candidate, Values]) -> None:
        names = self._names()
        with _quiet():
            for candidate in anchors:
                unit = self.unit(candidate)
                self.study.enqueue_trial(dict(zip(names, unit, strict=True)))
            trials = [self.study.ask() for _ in anchors]
            for trial in trials:
                self._candidate(trial)
        self._tell(trials, list(anchors.values()))

    def _names(self) -> list[str]:
        return [f"w{axis}" for axis in range(self.box.dimensions)]

    def _candidate(self, trial: Trial) -> Candidate:
        return self.place([trial.suggest_float(name, 0.0, 1.0) for name in self._names()])

    def _tell(self, trials: Sequence[Trial], values: Sequence[Values]) -> None:
        from optuna.trial import TrialState

        finite = self.penalty.replace_infinite(values)
        with _quiet():
            for i, trial in enumerate(trials):
                if finite is None:
                    self.study.tell(trial, state=TrialState.FAIL)
                else:
                    self.study.tell(trial, finite[i])

    def _new_study(self) -> Study:
        import optuna

        minimise = optuna.study.StudyDirection.MINIMIZE
        return optuna.create_study(
            sampler=self._new_sampler(), directions=[minimise] * self.objectives
        )

    def _new_sampler(self) -> BaseSampler:
        from optuna.samplers import GPSampler, NSGAIISampler, TPESampler

        seed = derive_seed(self.seed, "search optuna", self.sampler) % 2**32
        if self.sampler == "gp":
            return GPSampler(seed=seed, n_startup_trials=self.box.dimensions + 2)
        if self.sampler == "nsga2":
            return NSGAIISampler(seed=seed, population_size=self._population())
        return TPESampler(seed=seed, constant_liar=True)

    def _population(self) -> int:
        """About eight generations of NSGA-II, of 8 to 50 candidates."""
        return min(max(self.evaluations // 8, 8), 50)


@contextmanager
def _quiet() -> Iterator[None]:
    """No notes and no warnings of experiments from Optuna meanwhile; the user's settings stay."""
    from optuna import logging
    from optuna.exceptions import ExperimentalWarning

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
