"""Workers of a run on a Ray cluster: actors that keep model, images and detector.

Only tasks travel (an index, some weights, a seed). Results are artifacts in the run's folder, which
every node must see at the same path, or plain numbers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConfigError, MissingExtraError, StorageError
from ..files import remove, storage_errors
from .progress import Reporter
from .workers import Losses

if TYPE_CHECKING:
    from .context import RunContext

Item = TypeVar("Item")
Result = TypeVar("Result")
LOCAL = "local"
CONNECT_SECONDS = 10.0
SHARED_SECONDS = 5.0
"""How long a network file system may take to show a new file."""


class RayWorkers:
    """Runs tasks in order of submission on ``count`` actors of a Ray cluster.

    As :class:`~deme.runs.workers.Workers`, but the processes may be anywhere. Where the cluster
    has GPUs, actors are spread over them; else over its CPUs.

    Args:
        context: the run.
        count: how many actors.
        address: of the cluster: ``auto`` (the one this machine belongs to), ``host:6379``, or
            ``local`` for a cluster of this machine alone.

    Raises:
        MissingExtraError: Ray is not installed.

    """

    def __init__(self, context: RunContext, count: int, address: str) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError(f"runtime.ray: {address}", "ray", "ray")
        self.context = context
        self.count = count
        self.address = address
        self._connected = False
        self._actors: list[Any] = []

    def map(
        self, task: Callable[[RunContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Results in the order of the items, each as soon as it is known.

        Args:
            task: a function of a module's top level that the nodes can import; it is called with
                the actor's context.
            items: its other argument.

        Raises:
            DemeError: as the task raised it.
            ConfigError: there is no such cluster.
            StorageError: a node does not see the run's folder.
            TrainingError: actors were lost time and again, without a result between.

        """
        waiting = list(items)
        if not waiting:
            return
        self._open()
        work = _Work(self, task, waiting)
        for number in range(len(waiting)):
            yield work.result(number)

    def close(self) -> None:
        """Ends the actors, and the connection where it was made here."""
        if not self._actors and not self._connected:
            return
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._connected:
            ray.shutdown()
            self._connected = False

    def replace(self, actor: Any) -> Any:
        """A new actor in place of a lost one."""
        import ray

        ray.kill(actor)  # it may only have been out of reach
        position = self._actors.index(actor)
        self._actors[position] = self._start()
        return self._actors[position]

    def _open(self) -> None:
        """Connects, starts the actors and checks that they see the run's folder."""
        import ray

        if self._actors:
            return
        if not ray.is_initialized():
            self._connect()
        self._actors = [self._start() for _ in range(self.count)]
        try:
            self._check_folder()
        except BaseException:
            self.close()  # so that it is checked again
            raise

    def _check_folder(self) -> None:
        """Whether every actor works in the folder that this process has."""
        import ray
        from ray.exceptions import RayActorError

        folder = self.context.store.path.resolve()
        token = folder / "locks" / f"ray-{uuid.uuid4().hex[:8]}"
        with storage_errors(token):
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
        try:
            asked = [actor.sees.remote(f"locks/{token.name}") for actor in self._actors]
            seen = ray.get(asked)
        except RayActorError as error:
            raise ConfigError(
                f"A worker did not start on the Ray cluster: {error}",
                fix="install the same deme and Python on every node",
            ) from error
        finally:
            remove(token)
        blind = sorted({f"{node} (as {place})" for node, place, sees in seen if not sees})
        if blind:
            raise StorageError(
                f"The run's folder {folder} is not seen on the Ray node {', '.join(blind)}",
                fix="choose a folder with --output that all nodes share at the same path, and "
                "install the same deme on them",
            )

    def _connect(self) -> None:
        import ray

        settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self.address == LOCAL:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            settings["include_dashboard"] = False
            settings["num_cpus"] = max(self.count, os.cpu_count() or 1)
        try:
            _reach(self.address)
            ray.init(address=self.address, **settings)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"runtime.ray: no Ray cluster answers at {self.address!r} ({error})",
                fix="start one with `ray start --head`, give its address, or say local",
            ) from error
        self._connected = True

    def _start(self) -> Any:
        import ray

        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        share = {
            "num_cpus": _share(self.count, int(resources.get("CPU", 1))),
            "num_gpus": _share(self.count, gpus) if gpus else 0,
        }
        spec = self.context.spec.model_dump_json()
        output = self.context.store.path.parent.resolve()
        return ray.remote(RayWorker).options(**share).remote(spec, output, Path.cwd())


class RayWorker:
    """The actor: opens the run by its spec and folder, and keeps it.

    Args:
        spec: the run's configuration as JSON.
        output: the folder that holds runs, at the same path on every node.
        here: the folder that relative paths of the configuration start from, the driver's own;
            where a node lacks it, such paths cannot be found there.

    """

    def __init__(self, spec: str, output: Path, here: Path) -> None:
        from .context import RunContext
        from .spec import RunSpec
        from .store import RunStore

        with contextlib.suppress(OSError):
            os.chdir(here)  # an actor starts where its node was started
        loaded = RunSpec.model_validate_json(spec)
        self.context = RunContext(loaded, RunStore(output, loaded), Reporter(quiet=True))

    def sees(self, name: str) -> tuple[str, str, bool]:
        """The node's address, its path of the run's folder, and whether this file is in there."""
        import ray

        path = self.context.store.path / name
        until = time.monotonic() + SHARED_SECONDS
        while not path.exists() and time.monotonic() < until:
            time.sleep(SHARED_SECONDS / 10)
        return ray.util.get_node_ip_address(), str(self.context.store.path), path.exists()

    def call(self, task: Callable[[RunContext, Item], Result], item: Item) -> Result:
        """The task's result."""
        return task(self.context, item)


class _Work:
    """Tasks on their way: one for each actor, and the next when it is done."""

    def __init__(
        self,
        workers: RayWorkers,
        task: Callable[[RunContext, Any], Any],
        items: Sequence[Any],
    ) -> None:
        self.workers = workers
        self.task = task
        self.items = items
        self.waiting = list(range(len(items)))
        self.idle = list(workers._actors)
        self.running: dict[Any, tuple[int, Any]] = {}
        self.results: dict[int, Any] = {}
        self.errors: dict[int, Exception] = {}
        self.losses = Losses(workers.context.reporter)

    def result(self, number: int) -> Any:
        """The result of one item, working on others meanwhile."""
        while number not in self.results and number not in self.errors:
            self._hand_out()
            self._take_in()
        if number in self.errors:
            raise self.errors[number]
        self._hand_out()
        return self.results[number]

    def _hand_out(self) -> None:
        while self.idle and self.waiting:
            actor, number = self.idle.pop(0), self.waiting.pop(0)
            reference = actor.call.remote(self.task, self.items[number])
            self.running[reference] = number, actor

    def _take_in(self) -> None:
        import ray
        from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

        (reference,), _ = ray.wait(list(self.running), num_returns=1)
        number, actor = self.running.pop(reference)
        try:
            self.results[number] = ray.get(reference)
        except (RayActorError, OutOfMemoryError) as error:
            self.waiting.insert(0, number)
            self.losses.count(len(self.results) + len(self.errors), error)
            actor = self.workers.replace(actor)
        except RayTaskError as error:  # raised at its turn: which comes first is chance
            self.errors[number] = error.cause
        self.idle.append(actor)


def _reach(address: str) -> None:
    """Ray itself tries for minutes where nobody answers."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _share(count: int, units: int) -> float:
    """How much of a unit each of ``count`` actors takes, so that all find room.

    Several actors share a unit, never one actor parts of several.
    """
    return 1.0 if count <= units else 1 / math.ceil(count / max(units, 1))
