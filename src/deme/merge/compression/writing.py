"""Compressing an expert: its weights as differences from the base's, in one file."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from ...errors import ConfigError, MismatchError
from ...files import sole_writer
from ..ownership import require_range
from ..sources.contract import ModelSource, WeightSource
from ..streaming import default_workers
from .container import PayloadWriter, payload_file
from .encoding import EncodedTensor, encode_tensor
from .index import ComponentIndex, index_key, payloads_key
from .metadata import CompressedComponentInfo, CompressedExpert
from .report import ComponentReport, CompressionReport

SUFFIX = ".safetensors"
AT_ONCE = 2**25
"""Elements of the tensors that are encoded at the same time; a larger tensor is encoded alone."""
EXACT_COPIES, APPROXIMATE_COPIES = 1, 5
"""How often a tensor is in memory while it is encoded, about; exact coding goes block by block."""

Progress = Callable[[int], None]


def compress_expert(
    base: ModelSource,
    expert: ModelSource,
    output: Path,
    *,
    max_error: float | None = None,
    min_timestep: int | None = None,
    max_timestep: int | None = None,
    workers: int | None = None,
    progress: Progress = lambda tensors: None,
) -> CompressionReport:
    """Writes an expert as a file from which, with its base, it comes back.

    Memory is that of a few tensors, whatever the size of the model. The same inputs give the same
    bytes, whatever the number of workers.

    Args:
        base: the model that the expert was finetuned from.
        expert: its components under the base's names.
        output: the file; it must not exist.
        max_error: what is promised of ``‖τ̂ − τ‖ / ‖τ‖``, in (0, 1): each tensor keeps it, and so
            each component does. None: every bit comes back.
        min_timestep: first timestep of the range that the expert owns, where that is known.
        max_timestep: the range's end, not included.
        workers: threads; None takes one for each core, eight at most.
        progress: told how many more tensors were encoded.

    Raises:
        ConfigError: the output exists or is no safetensors file, a number is out of range, or the
            expert is an adapter or does not differ from the base.
        MismatchError: the expert has weights that the base does not have.
        StorageError: a file cannot be read or written.

    """
    _require_sense(output, max_error)
    require_range(min_timestep, max_timestep)
    sources = _pairs(base, expert)
    reports: dict[str, ComponentReport] = {}
    with sole_writer(output), payload_file(output) as writer:
        for component, (ours, theirs) in sources.items():
            encoded = _encode_component(component, ours, theirs, max_error, workers, progress)
            report = _write_component(writer, component, encoded)
            if report is not None:
                reports[component] = report
        if not reports:
            raise ConfigError(
                f"{expert.origin} has the very weights of {base.origin}: there is nothing to keep",
                fix="give the expert that was finetuned",
            )
        writer.metadata = CompressedExpert(
            base_model=base.origin,
            expert=Path(expert.origin).name,
            min_timestep=min_timestep,
            max_timestep=max_timestep,
            max_error=max_error,
            components={
                name: CompressedComponentInfo(error=report.error)
                for name, report in reports.items()
            },
        ).to_metadata()
    equal = tuple(name for name in sources if name not in reports)
    return CompressionReport(output, tuple(reports.values()), equal, output.stat().st_size)


def _require_sense(output: Path, max_error: float | None) -> None:
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    if max_error is not None and not 0 < max_error < 1:
        raise ConfigError(
            f"max_error = {max_error}", fix="give a relative error in (0, 1), such as 0.05"
        )
    if output.suffix != SUFFIX:
        raise ConfigError(f"{output} is no name of a {SUFFIX} file", fix=f"end it with {SUFFIX}")


def _pairs(base: ModelSource, expert: ModelSource) -> dict[str, tuple[WeightSource, WeightSource]]:
    """Base and expert of each component that the expert has, checked to be of one layout."""
    pairs: dict[str, tuple[WeightSource, WeightSource]] = {}
    for component, theirs in sorted(expert.components.items()):
        ours = base.components.get(component)
        if not isinstance(ours, WeightSource):
            raise MismatchError(
                f"{base.origin} has no {component}, which {expert.origin} has",
                choices=sorted(base.components),
            )
        if not isinstance(theirs, WeightSource):
            raise ConfigError(
                f"{expert.origin} is an adapter: it is small already",
                fix="keep its file, or merge it and compress the result",
            )
        _require_layout(component, ours, theirs)
        pairs[component] = (ours, theirs)
    return pairs


def _require_layout(component: str, base: WeightSource, expert: WeightSource) -> None:
    for name, info in expert.layout.items():
        ours = base.layout.get(name)
        if ours is None or ours.shape != info.shape:
            what = "is not in" if ours is None else f"has the shape {ours.shape} in"
            raise MismatchError(
                f"{component}/{name}, of shape {info.shape} in {expert.origin}, {what} "
                f"{base.origin}",
                fix="give the base that this expert was finetuned from",
            )


def _encode_component(
    component: str,
    base: WeightSource,
    expert: WeightSource,
    max_error: float | None,
    workers: int | None,
    progress: Progress,
) -> Iterator[tuple[str, EncodedTensor]]:
    """The encoded tensors in the order of the names, made a few at a time in several threads."""

    def encode(name: str) -> EncodedTensor:
        try:
            return encode_tensor(expert.read(name), base.read(name), max_error)
        except MismatchError as error:
            raise MismatchError(f"{component}/{name}: {error}") from error

    copies = EXACT_COPIES if max_error is None else APPROXIMATE_COPIES
    waiting: deque[tuple[str, int, Future[EncodedTensor]]] = deque()
    with _threads(workers or default_workers()) as pool:
        for name in sorted(expert.layout):
            cost = copies * expert.layout[name].numel
            while waiting and sum(each for _, each, _ in waiting) + cost > AT_ONCE:
                yield _next(waiting, progress)
            waiting.append((name, cost, pool.submit(encode, name)))
        while waiting:
            yield _next(waiting, progress)


def _next(
    waiting: deque[tuple[str, int, Future[EncodedTensor]]],
    progress: Progress,
) -> tuple[str, EncodedTensor]:
    name, _, future = waiting.popleft()
    encoded = future.result()
    progress(1)
    return name, encoded


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    threads = torch.get_num_threads()
    # each worker is one thread of arithmetic: torch's own threads under each would fight for cores
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def _write_component(
    writer: PayloadWriter, component: str, encoded: Iterator[tuple[str, EncodedTensor]]
) -> ComponentReport | None:
    """Writes payloads and index; nothing, and no report, of a component that is the base's own."""
    entries, alters = {}, False
    before = after = changed = 0
    energy = lost = 0.0
    for name, tensor in encoded:
        entries[name] = tensor.entry
        alters |= tensor.alters
        before += tensor.entry.info.nbytes
        energy += tensor.energy
        lost += tensor.entry.error**2 * tensor.energy
        if tensor.payload is not None:
            writer.append(payloads_key(component), tensor.payload)
            after += len(tensor.payload)
            changed += 1
    if not alters:
        return None
    writer.append(payloads_key(component), b"")  # there, though empty, where only dtypes differ
    writer.append(index_key(component), ComponentIndex(tensors=entries).pack())
    error = math.sqrt(lost / energy) if lost else 0.0
    return ComponentReport(component, len(entries), changed, before, after, error)
