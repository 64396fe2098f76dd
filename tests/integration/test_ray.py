"""A Ray cluster of two nodes on this machine: the same study as one process, whoever is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from deme.errors import ConfigError, MissingExtraError, StorageError
from deme.files import hash_tree
from deme.runs.ray_workers import RayWorker, RayWorkers, _share
from integration.tiny_run import context_of, refuse
from integration.toy_tasks import (
    die_the_first_time,
    measured_in_the_run,
    notes,
    process_number,
    search_alone,
    toy_search,
    values_of,
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes with a CPU each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # warns unless it is chosen
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
        nodes = Cluster(initialize_head=True, head_node_args=node)
        nodes.add_node(**node)
        nodes.wait_for_nodes()
        yield str(nodes.address)
        nodes.shutdown()


@pytest.fixture(scope="module")
def workers(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayWorkers]:
    """An actor on each node."""
    context = context_of(tmp_path_factory.mktemp("ray"))
    context.store.prepare()
    workers = RayWorkers(context, 2, cluster)
    yield workers
    workers.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray leaves log files to the collector
def test_two_nodes_run_the_same_study(workers: RayWorkers, tmp_path: Path) -> None:
    search_alone(tmp_path)
    folder = workers.context.store.path
    processes = {pid for _, pid in workers.map(process_number, range(20))}
    assert len(processes) == 2 and os.getpid() not in processes
    result = toy_search(folder, partial(workers.map, measured_in_the_run))
    assert hash_tree(folder / "features") == hash_tree(tmp_path / "features")
    assert values_of(result) == values_of(search_alone(tmp_path))
    begun = [subject for what, subject in notes(folder) if what == "begin"]
    assert len(begun) == len(set(begun)) == len(result.evaluations)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_lost_actors_task_is_issued_again(
    workers: RayWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(workers.context.reporter, "say", said.append)
    assert list(workers.map(die_the_first_time, range(6))) == [0, 10, 20, 30, 40, 50]
    _, idle = next(iter(workers.map(process_number, [1])))
    os.kill(idle, signal.SIGKILL)
    assert [number for number, _ in workers.map(process_number, range(6))] == list(range(6))
    assert said == ["a worker process was lost; its task is issued again"] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_errors_are_as_the_task_raised_them(workers: RayWorkers) -> None:
    with pytest.raises(ConfigError, match=r"^not 3\. Choices: 1, 2\.$") as caught:
        list(workers.map(refuse, [3, 4, 5, 6]))
    assert type(caught.value) is ConfigError
    assert [number for number, _ in workers.map(process_number, [1, 2])] == [1, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_folder_that_a_node_does_not_see_is_refused(
    workers: RayWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.close()  # its actors have the CPUs
    other = RayWorkers(context_of(tmp_path), 1, workers.address)
    touch = Path.touch

    def elsewhere(path: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        if not path.name.startswith("ray-"):  # as where the actors' machine has another disk
            touch(path, mode, exist_ok)

    monkeypatch.setattr(Path, "touch", elsewhere)
    with pytest.raises(StorageError, match=r"is not seen on the Ray node .*Fix: choose a folder"):
        list(other.map(process_number, [1]))
    other.close()
    assert not list((other.context.store.path / "locks").iterdir())


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"runtime\.ray: auto .*pip install 'deme\[ray\]'"):
        RayWorkers(context_of(tmp_path), 2, "auto")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_does_not_answer_is_refused(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    workers = RayWorkers(context_of(tmp_path), 2, address)
    with pytest.raises(ConfigError, match=rf"no Ray cluster answers at '{address}'.*Fix: start"):
        list(workers.map(process_number, [1]))


def test_an_actor_opens_the_run_that_the_driver_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(tmp_path)
    here = tmp_path / "where relative paths start"
    here.mkdir()
    monkeypatch.chdir(tmp_path)  # and back at the end
    actor = RayWorker(context.spec.model_dump_json(), tmp_path, here)
    assert Path.cwd() == here
    assert actor.context.store.path == context.store.path
    assert actor.context.spec == context.spec
    assert actor.call(process_number, 3) == (3, os.getpid())


@pytest.mark.parametrize(
    ("count", "units"), [(1, 8), (2, 2), (3, 2), (4, 3), (9, 4), (5, 1), (2, 0)]
)
def test_all_actors_find_room(count: int, units: int) -> None:
    share = _share(count, units)
    assert 0 < share <= 1
    assert int(1 / share + 1e-9) * max(units, 1) >= count
