"""The study: exact, in order, readable by Optuna, and whole whenever it is killed."""

from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from deme.errors import StorageError
from deme.search.evaluation import Evaluation
from deme.search.study import Study, quiet_optuna

AXES = {"early": (0.0, 1.0), "late": (-0.5, 1.5)}
VALUES = [0.1 + 0.2, math.pi * 1e-17, 5e-324, 1.7976931348623157e308, -0.0, math.inf, 2.0]


def study(path: Path, key: str = "key", objectives: tuple[str, ...] = ("frechet",)) -> Study:
    return Study(path, key, objectives=objectives, axes=AXES, protocol="FID-5k")


def fill(path: Path) -> Study:
    filled = study(path)
    for number, value in enumerate(VALUES):
        point = ((0.1 + number) / 7, -number / 3)
        filled.record(Evaluation(point, 500, (value,)), cost=0.1, seconds=1.5)
    return filled


def test_numbers_come_back_bit_for_bit_and_in_order(tmp_path: Path) -> None:
    first, again = fill(tmp_path / "new" / "study.db"), study(tmp_path / "new" / "study.db")
    assert again.trials == first.trials
    exact = [(value + 0.0).hex() for value in VALUES]  # but for the sign of zero
    assert [trial.values[0].hex() for trial in again.trials] == exact
    for trial in first.trials:
        assert again.find(trial.candidate, 500) == trial.values
        assert again.find(trial.candidate, 2000) is None
    assert again.find((0.5, 0.5), 500) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_infinite(tmp_path: Path, bad: float) -> None:
    study(tmp_path / "s.db", objectives=("frechet", "kid")).record(
        Evaluation((0.5, 0.5), 9, (bad, 1.0)), cost=1, seconds=0
    )
    again = study(tmp_path / "s.db", objectives=("frechet", "kid"))
    assert again.find((0.5, 0.5), 9) == (math.inf, 1.0)


def test_an_evaluation_is_recorded_once(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    filled = fill(path)
    for opened in (filled, study(path)):
        at = opened.trials[0].candidate
        opened.record(Evaluation(at, 500, (9.0,)), cost=1, seconds=0)
        assert opened.find(at, 500) == (VALUES[0],)
    assert len(study(path).trials) == len(VALUES)
    filled.record(Evaluation(at, 2000, (9.0,)), cost=0.3, seconds=0)
    assert study(path).find(at, 2000) == (9.0,) and study(path).find(at, 500) == (VALUES[0],)


def test_optuna_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    both = study(path, objectives=("frechet", "kid"))
    notes = {"predicted": 0.5, "reason": "design", "gain": math.inf}
    outside = Evaluation((2.0, -1.0), 500, (0.5, 0.25), notes=notes)
    both.record(outside, cost=0.25, seconds=90, features="features/a.safetensors")
    with quiet_optuna():
        found = optuna.load_study(study_name="search-key", storage=f"sqlite:///{path}")
    assert found.metric_names == ["frechet", "kid"] and len(found.directions) == 2
    assert found.user_attrs["protocol"] == "FID-5k" and found.user_attrs["key"] == "key"
    (trial,) = found.trials
    assert trial.params == {"early": 2.0, "late": -1.0} and trial.values == [0.5, 0.25]
    assert trial.distributions["early"] == optuna.distributions.FloatDistribution(0.0, 2.0)
    assert trial.distributions["late"] == optuna.distributions.FloatDistribution(-1.0, 1.5)
    assert trial.user_attrs["notes"] == {"predicted": 0.5, "reason": "design", "gain": "inf"}
    assert trial.user_attrs["features"] == "features/a.safetensors"
    assert trial.user_attrs["images"] == 500 and trial.user_attrs["cost"] == 0.25
    assert trial.duration is not None and trial.duration.total_seconds() == 90


def test_studies_of_two_keys_share_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    fill(path)
    other = study(path, "other")
    assert other.trials == ()
    other.record(Evaluation((0.5, 0.5), 9, (1.0,)), cost=1, seconds=0)
    assert len(study(path, "other").trials) == 1 and len(study(path).trials) == len(VALUES)
    names = {item.study_name for item in optuna.get_all_study_summaries(f"sqlite:///{path}")}
    assert names == {"search-key", "search-other"}


def test_trials_of_others_in_the_study_are_let_be(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    filled = fill(path)
    with quiet_optuna():
        found = optuna.load_study(study_name="search-key", storage=f"sqlite:///{path}")
    found.ask()  # left running
    found.add_trial(optuna.trial.create_trial(value=0.0))
    assert study(path).trials == filled.trials


def test_a_path_may_have_any_letters(tmp_path: Path) -> None:
    path = tmp_path / "a {b} 100%?x=#y ü" / "study.db"
    filled = fill(path)
    assert study(path).trials == filled.trials
    assert [file.name for file in path.parent.iterdir()] == ["study.db"]


def test_optuna_says_nothing_and_is_left_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    fill(tmp_path / "study.db")
    study(tmp_path / "study.db")
    assert capfd.readouterr() == ("", "") and optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "page", "foreign", "version"])
def test_a_file_that_is_no_study_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "study.db"
    fill(path)
    whole = path.read_bytes()
    page = 4096
    contents = {
        "empty": b"",
        "text": b"not a database at all, but long enough to be read as one" * 40,
        "cut": whole[: 3 * page],
        "page": whole[:page] + b"\xff" * page + whole[2 * page :],
    }
    if damage in contents:
        path.write_bytes(contents[damage])
    elif damage == "foreign":
        path.unlink()
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE mine (x)")
        database.close()
    else:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE alembic_version SET version_num = 'v9.9.9.a'")
        database.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"cannot be used as the search's study.*Fix: restore"):
        study(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_reported_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    filled = fill(path)
    with sqlite3.connect(path) as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.close()
    limit = f"PRAGMA max_page_count = {pages}"
    connect = sqlite3.connect

    def small_disk(*words: object, **settings: object) -> sqlite3.Connection:
        connection = connect(*words, **settings)  # type: ignore[arg-type]
        connection.execute(limit)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", small_disk)
        patch.setattr("optuna.storages._rdb.storage.time.sleep", lambda _: None)
        with pytest.raises(StorageError, match="No space left while writing"):
            for number in range(500):
                at = (float(number), 0.0)
                filled.record(Evaluation(at, 9, (1.0,)), cost=1, seconds=0, features="x" * 1500)
    known = study(path).trials
    assert known == filled.trials and len(known) >= len(VALUES)


WRITER = """
import sys
import time
from pathlib import Path
from deme.search.evaluation import Evaluation
from deme.search.study import Study

study = Study(Path(sys.argv[1]), "key", objectives=["frechet"], axes={"early": (0, 1)})
for number in range(len(study.trials), 10_000):
    print("recording", number, flush=True)
    study.record(Evaluation((number / 7,), 500, (number / 3,)), cost=1, seconds=0)
    print("recorded", number, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_has_whole_trials_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    moments, recorded = random.Random(4), -1
    for _ in range(6):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(moments.randrange(1, 12)):
                recorded = max(recorded, *_recorded(writer.stdout.readline()))
            time.sleep(moments.uniform(0, 0.03))
            os.kill(writer.pid, signal.SIGKILL)
            recorded = max([recorded, *(_recorded(line)[0] for line in writer.stdout)])
        trials = Study(path, "key", objectives=["frechet"], axes={"early": (0, 1)}).trials
        assert recorded + 1 <= len(trials) <= recorded + 2
        for number, trial in enumerate(trials):
            assert trial.values == (number / 3,) and trial.images == 500


def _recorded(line: str) -> list[int]:
    word, _, number = line.partition(" ")
    return [int(number) if word == "recorded" else -1]
