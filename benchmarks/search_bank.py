"""Sample sets of a run's merges, kept on disk, so that strategies are compared on the same sets.

What a strategy costs is counted as if nothing had been drawn before it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deme.files import hash_value
from deme.merge import InPlaceMerger
from deme.merge.places import places_of
from deme.runs import RunContext, RunStore, load_spec
from deme.runs.job import run_job
from deme.runs.progress import Reporter
from deme.runs.stages.sampling import make_request
from deme.search import (
    Box,
    Candidate,
    Evaluation,
    FrechetObjective,
    MergeEvaluator,
    MergeSpace,
    Proposal,
    SetStore,
)
from deme.search.merge_space import block_groups

SEARCH_SEED = 1000
HELD_OUT_SEEDS = (2000, 2001, 2002, 2003, 2004)
Task = tuple[Path, int, int, bool, Candidate, int]
"""Run folder, sampler steps, images, whether blocks have weights, candidate, noise seed."""


def train(output: Path, ranges: int, overrides: Sequence[str]) -> Path:
    """Trains the digits experts of ``ranges`` ranges, unless they are there; the run's folder."""
    spec = load_spec("digits", [f"decouple.ranges={ranges}", f"name=digits-{ranges}", *overrides])
    store = RunStore(output, spec)
    run_job(RunContext(spec, store, Reporter()), ["experts"])
    return store.path


class Bank:
    """Sets of one run's merges at one number of sampler steps.

    Args:
        folder: of a run whose experts are finished.
        steps: sampler steps.
        images: in a set.
        blocks: whether each block of the network has weights of its own.

    """

    def __init__(self, folder: Path, steps: int, images: int, blocks: bool = False) -> None:
        torch.set_num_threads(1)
        overrides = [
            "runtime.workers=1",
            "runtime.threads=1",
            f"search.sampler_steps={steps}",
            f"search.images={images}",
        ]
        spec = load_spec(str(folder / "spec.yaml"), overrides)
        store = RunStore(folder.parent, spec)
        store.path = folder
        self.context = RunContext(spec, store, Reporter(quiet=True))
        self.folder, self.steps, self.images = folder, steps, images
        self.experts = tuple(expert.name for expert in self.context.experts)
        places = places_of("unet", self.context.base) if blocks else {}
        self.blocks = blocks
        self.space = MergeSpace(
            self.experts, (-1.5, 1.5), groups=block_groups(places) if blocks else ()
        )
        self.detector = self.context.detectors[0]
        self.reference = self.context.references[self.detector.name]
        name = self.detector.name
        self.objective = FrechetObjective(self.reference.search, name)
        self.judge = FrechetObjective(self.reference.evaluation, name)
        self.seed = SEARCH_SEED

    @cache  # noqa: B019  # one bank a process
    def evaluator(self, seed: int) -> MergeEvaluator:
        """What draws the sets of one noise seed."""
        context = self.context
        merger = InPlaceMerger(context.denoiser.clone(), context.base, context.task_vectors)
        request = make_request(context, context.spec.search, seed, self.images)
        features = {self.detector.name: self.detector.features}
        return MergeEvaluator(self.space, merger, request, features)

    @cache  # noqa: B019
    def sets(self, seed: int) -> SetStore:
        """Where the sets of one noise seed are kept."""
        key = hash_value([self.context.base_digest, self.experts, self.steps, self.images, seed])
        kind = "-blocks" if self.blocks else ""
        return SetStore(self.folder / "bank" / f"{self.steps}-{self.images}-{seed}{kind}", key)

    def drawn(self, candidate: Candidate, seed: int) -> Tensor:
        """A set's features ``(images, D)``, drawn where it is not there."""
        tables = self.sets(seed).complete(
            candidate, self.images, lambda rows: self.evaluator(seed).tables(candidate, rows)
        )
        return tables[self.detector.name]

    def evaluation(self, proposal: Proposal) -> Evaluation:
        """The search's view of a candidate."""
        tables = {self.detector.name: self.drawn(proposal.candidate, SEARCH_SEED)}
        value = float(self.objective.value(tables))
        return Evaluation(proposal.candidate, self.images, (value,), tables, proposal.notes)

    def held_out(self, candidate: Candidate) -> list[float]:
        """Values on held-out noise, against the real images that the search never saw."""
        return [
            float(self.judge.value({self.detector.name: self.drawn(candidate, seed)}))
            for seed in HELD_OUT_SEEDS
        ]

    def box(self, bounds: tuple[float, float]) -> Box:
        """These bounds for every expert."""
        return Box.cube(bounds, len(self.experts))


class Drawer:
    """Draws sets side by side, in processes that keep their bank.

    Args:
        bank: whose sets.
        workers: how many processes.

    """

    def __init__(self, bank: Bank, workers: int) -> None:
        self.bank = bank
        self._pool = multiprocessing.get_context("spawn").Pool(workers) if workers > 1 else None

    def draw(self, candidates: Iterable[Candidate], seeds: Iterable[int]) -> None:
        """Sees to it that these sets are on disk."""
        bank = self.bank
        tasks: list[Task] = [
            (bank.folder, bank.steps, bank.images, bank.blocks, candidate, seed)
            for candidate in dict.fromkeys(candidates)
            for seed in seeds
            if bank.sets(seed).have(candidate) < bank.images
        ]
        if self._pool is None:
            for task in tasks:
                bank.drawn(*task[-2:])
        else:
            for _ in self._pool.imap_unordered(_draw, tasks):
                pass

    def __enter__(self) -> Drawer:
        """The drawer."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.terminate()


@cache
def _bank(folder: Path, steps: int, images: int, blocks: bool) -> Bank:
    return Bank(folder, steps, images, blocks)


def _draw(task: Task) -> None:
    _bank(*task[:4]).drawn(*task[4:])
