"""The search's memory: an Optuna study in SQLite, which optuna-dashboard shows as it grows."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StorageError
from ..files import atomic_path, storage_errors
from .evaluation import Evaluation
from .set_store import rounded
from .space import Candidate

if TYPE_CHECKING:
    import optuna

KEY_DIGITS = 12
LOCKED_SECONDS = 60
"""How long a write waits for somebody who reads the database."""
OPTUNA_TABLES = {"studies", "trials", "version_info", "alembic_version"}


@dataclass(frozen=True)
class Trial:
    """An evaluation as the study keeps it.

    Attributes:
        candidate: the point.
        images: how many images it was measured on.
        values: each objective's, lower is better; ``inf`` where it was not finite.
        cost: images drawn for it over those of a full set.
        seconds: how long that took.

    """

    candidate: Candidate
    images: int
    values: tuple[float, ...]
    cost: float
    seconds: float


class Study:
    """Every finished evaluation, in order, once; only the driver of a search opens it.

    A trial is written in one transaction, so a process killed at any moment leaves whole trials.
    Numbers come back bit for bit. A study is named by its key: those of other keys stay beside it
    in the file, where the dashboard compares them.

    Args:
        path: the database; made, complete, when it is not there.
        key: what decides the values besides candidate and images.
        objectives: their names; all are minimised.
        axes: names of a candidate's numbers, in order, with the bounds that are searched.
        protocol: how the values were made, for the reader.
        name: what the study is called, before a few digits of its key.

    Raises:
        StorageError: the file is damaged or no study's, or cannot be written.

    """

    def __init__(
        self,
        path: Path,
        key: str,
        *,
        objectives: Sequence[str],
        axes: Mapping[str, tuple[float, float]],
        protocol: str = "",
        name: str = "search",
    ) -> None:
        self.path = path
        self.axes = dict(axes)
        self._known: dict[tuple[Candidate, int], Trial] = {}
        self._attributes: dict[str, Any] = {
            "key": key,
            "objectives": list(objectives),
            "protocol": protocol,
        }
        with _study_errors(path):
            name = f"{name}-{key[:KEY_DIGITS]}"
            if not path.exists():
                self._create(name)
            _check(path)
            self._study = self._open(name, _storage(path))
            self._read()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All evaluations in the order in which they were recorded."""
        return tuple(self._known.values())

    def find(self, candidate: Candidate, images: int) -> tuple[float, ...] | None:
        """A candidate's values on so many images; None where they are not known."""
        trial = self._known.get((rounded(candidate), images))
        return None if trial is None else trial.values

    def record(
        self, evaluation: Evaluation, *, cost: float, seconds: float, features: str = ""
    ) -> None:
        """Adds an evaluation; one that is known stays as it is.

        Args:
            evaluation: the candidate, its values and notes.
            cost: images drawn for it over those of a full set.
            seconds: how long that took.
            features: the file of its features.

        Raises:
            StorageError: the database cannot be written.

        """
        candidate = rounded(evaluation.candidate)
        if (candidate, evaluation.images) in self._known:
            return
        # SQLite has no -0.0
        values = tuple(v + 0.0 if math.isfinite(v) else math.inf for v in evaluation.values)
        trial = Trial(candidate, evaluation.images, values, cost, seconds)
        notes = {name: _as_json(note) for name, note in evaluation.notes.items()}
        with _study_errors(self.path):
            self._add(trial, {"notes": notes, "features": features})
        self._known[candidate, evaluation.images] = trial

    def _create(self, name: str) -> None:
        """The database, made in memory: a process killed meanwhile leaves no half of it."""
        import optuna
        from sqlalchemy.pool import StaticPool

        with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as empty:
            how = {"creator": lambda: empty, "poolclass": StaticPool}
            self._open(name, optuna.storages.RDBStorage("sqlite://", engine_kwargs=how))
            with (
                atomic_path(self.path) as partial,
                contextlib.closing(sqlite3.connect(partial)) as file,
            ):
                empty.backup(file)

    def _open(self, name: str, storage: optuna.storages.RDBStorage) -> optuna.Study:
        import optuna

        objectives = self._attributes["objectives"]
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=["minimize" for _ in objectives],
            load_if_exists=True,
        )
        for attribute, value in self._attributes.items():
            if study.user_attrs.get(attribute) != value:
                study.set_user_attr(attribute, value)
        if study.metric_names != objectives:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(objectives)
        return study

    def _read(self) -> None:
        for found in self._study.get_trials(deepcopy=False):
            said = found.user_attrs
            if not found.state.is_finished() or "candidate" not in said:
                continue  # somebody else's
            candidate, images = tuple(json.loads(said["candidate"])), said["images"]
            trial = Trial(candidate, images, tuple(found.values), said["cost"], said["seconds"])
            self._known.setdefault((candidate, images), trial)

    def _add(self, trial: Trial, said: Mapping[str, Any]) -> None:
        import optuna

        axes = zip(self.axes.items(), trial.candidate, strict=True)
        # an anchor may lie outside the bounds that are searched
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(min(low, number), max(high, number))
            for (name, (low, high)), number in axes
        }
        attributes = {
            "candidate": json.dumps(trial.candidate),
            "images": trial.images,
            "cost": trial.cost,
            "seconds": trial.seconds,
            **said,
        }
        made = optuna.trial.create_trial(
            values=list(trial.values),
            params=dict(zip(self.axes, trial.candidate, strict=True)),
            distributions=distributions,
            user_attrs=attributes,
        )
        if made.datetime_complete is not None:
            made.datetime_start = made.datetime_complete - datetime.timedelta(0, trial.seconds)
        self._study.add_trial(made)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keeps Optuna from logging what it does, within the block."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """Optuna's storage in a file of whatever name, with no connection left open between calls."""
    import optuna
    from sqlalchemy.pool import NullPool

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=LOCKED_SECONDS, check_same_thread=False)

    return optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool}
    )


def _check(path: Path) -> None:
    """Whether the file is a whole database of Optuna's; nothing is written to another one."""
    with contextlib.closing(sqlite3.connect(path, timeout=LOCKED_SECONDS)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if not tables >= OPTUNA_TABLES:
        raise _not_a_study(path, "it has none of Optuna's tables")
    if verdict != "ok":
        raise _not_a_study(path, verdict)


@contextlib.contextmanager
def _study_errors(path: Path) -> Iterator[None]:
    """Turns errors of the database into a :class:`StorageError`, and keeps Optuna quiet."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with quiet_optuna(), storage_errors(path):
            yield
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        raise _not_a_study(path, str(error.__cause__ or error)) from error
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise _not_a_study(path, str(error)) from error


def _not_a_study(path: Path, why: str) -> StorageError:
    if "disk is full" in why:
        return StorageError(
            f"No space left while writing {path}",
            fix="free space, then repeat the command; finished evaluations are kept",
        )
    return StorageError(
        f"{path} cannot be used as the search's study ({' '.join(why.split())})",
        fix="restore it, or move it away and repeat the command: values are computed again from "
        "the features that are kept",
    )


def _as_json(note: float | str) -> float | str:
    """JSON has no infinity."""
    return note if isinstance(note, str) or math.isfinite(note) else str(note)
