"""Units of work of pruned arms: networks pruned for an interval, tried, and finetuned."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from ...decouple import Partition, TimestepRange, TimestepSampler, TrainingJob
from ...decouple.snapshots import ExpertSnapshots
from ...denoisers import Denoiser, RoutedDenoiser
from ...ensembles.ratios import choose_ratios
from ...files import atomic_path, hash_value, read_json, write_json
from ...generate.sampler import build_scheduler
from ...runs.context import RunContext
from ...runs.spec import RunSpec
from ...runs.stages.sampling import draw_features, search_request
from ...runs.stages.training import train_to_folder


@dataclass(frozen=True)
class PruningPlan:
    """All that decides a pruned arm's networks at one training seed and setting.

    Attributes:
        run: as JSON, the run whose images, seed and training settings are used.
        boundaries: of the intervals, 0 and T among them.
        widths: candidates for each interval, channels of each level.
        fractions: the operations that each candidate keeps.
        kept: the budget: the mean fraction of a step of the sampler.
        steps: optimizer steps, all trainings together.
        probe_steps: of each candidate before the choice; 0 where there is nothing to choose.
        p: probability that a draw is from all timesteps.
        images: that importances are measured on.

    """

    run: str
    boundaries: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    fractions: tuple[float, ...]
    kept: float
    steps: int
    probe_steps: int
    p: float
    images: int

    @property
    def spec(self) -> RunSpec:
        """The run."""
        return RunSpec.model_validate_json(self.run)

    @property
    def partition(self) -> Partition:
        """The intervals."""
        return Partition.from_boundaries(self.boundaries[1:-1], self.boundaries[-1])

    @property
    def probes(self) -> int:
        """How many candidates are tried, all intervals together."""
        return len(self.partition) * len(self.widths) if len(self.widths) > 1 else 0

    def final_steps(self, interval: int) -> int:
        """Steps of the interval's chosen network, after those of its probe."""
        left, count = self.steps - self.probes * self.probe_steps, len(self.partition)
        return left // count + (interval < left % count)

    @property
    def digest(self) -> str:
        """Hash of what decides its networks."""
        return hash_value({**asdict(self), "run": self.spec.meaning()})

    @property
    def folder(self) -> str:
        """Where its artifacts are, in the comparison's folder."""
        return f"arms/pruned/{self.digest[:12]}"

    @property
    def without_budget(self) -> PruningPlan:
        """What candidates are made of: plans that differ in the budget alone share them."""
        return replace(self, kept=0.0)

    def probe(self, interval: int, candidate: int) -> str:
        """A candidate after its first steps."""
        widths = "-".join(map(str, self.widths[candidate]))
        return (
            f"{self.without_budget.folder}/probes/{_name(self.partition.ranges[interval])}-{widths}"
        )

    def network(self, interval: int, average: float | None = None) -> str:
        """An interval's finished network, or another average of it."""
        kind = "experts" if average is None else f"averages/{average:g}"
        return f"{self.folder}/{kind}/{_name(self.partition.ranges[interval])}"


def _name(timesteps: TimestepRange) -> str:
    return f"t{timesteps.low:04d}-{timesteps.high:04d}"


@dataclass(frozen=True)
class ProbeTask:
    """A candidate for an interval: pruned, finetuned a little, and measured.

    Its plan is one :attr:`~PruningPlan.without_budget`, so that it is done once for all budgets.
    """

    plan: PruningPlan
    interval: int
    candidate: int

    def run(self, context: RunContext) -> bool:
        """Makes and measures it, or finds it done."""
        artifact = self.plan.probe(self.interval, self.candidate)
        made_from = {**_origin(context, self.plan), "steps": self.plan.probe_steps}
        trained = not context.store.is_complete(artifact, made_from)
        if trained:
            start = _pruned(context, self.plan, self.interval, self.candidate)
            job = _job(context, self.plan, self.interval, start, self.plan.probe_steps, "probe")
            train_to_folder(context, job, artifact, made_from, f"probe {artifact.split('/')[-1]}")
        return self._measure(context, artifact) or trained

    def _measure(self, context: RunContext, artifact: str) -> bool:
        """The Fréchet distance on the search's noise, where it serves its interval alone."""
        measured = f"{artifact}.json"
        made_from = {"probe": context.store.digest_of(artifact)}
        if context.store.is_complete(measured, made_from):
            return False
        parts: list[Denoiser] = [context.denoiser] * len(self.plan.partition)
        parts[self.interval] = context.load_pipeline(context.store.path / artifact)
        model = RoutedDenoiser(parts, self.plan.boundaries)
        detector = context.detectors[0]
        features = draw_features(model, search_request(context), [detector])[detector.name]
        value = context.references[detector.name].search_distance(features)
        write_json(context.store.path / measured, {"distance": value})
        context.store.complete(measured, made_from)
        return True


@dataclass(frozen=True)
class FinetuneTask:
    """An interval's chosen network, to the end of the budget."""

    plan: PruningPlan
    interval: int

    def run(self, context: RunContext) -> bool:
        """Trains it, or finds it done."""
        plan, interval = self.plan, self.interval
        candidate = chosen(context, plan)[interval]
        artifact, probe = plan.network(interval), plan.probe(interval, candidate)
        made_from = {**_origin(context, plan), "candidate": candidate}
        if plan.probes:
            made_from["start"] = context.store.digest_of(probe)
        if context.store.is_complete(artifact, made_from):
            return False
        start = (
            context.load_pipeline(context.store.path / probe)
            if plan.probes
            else _pruned(context, plan, interval, candidate)
        )
        job = _job(context, plan, interval, start, plan.final_steps(interval), "pruned")
        return train_to_folder(context, job, artifact, made_from, f"pruned {job.name}")


@dataclass(frozen=True)
class PrunedAverageTask:
    """An interval's network with another average of its weights."""

    plan: PruningPlan
    interval: int
    width: float

    def run(self, context: RunContext) -> bool:
        """Writes it, or finds it done."""
        source = self.plan.network(self.interval)
        artifact = self.plan.network(self.interval, self.width)
        made_from = {"network": context.store.digest_of(source), "width": self.width}
        if context.store.is_complete(artifact, made_from):
            return False
        folder = context.store.path / source
        snapshots = ExpertSnapshots.open(folder)
        denoiser = context.load_pipeline(folder)
        denoiser.load_weights(snapshots.reconstruct(snapshots.steps[-1], self.width))
        with atomic_path(context.store.path / artifact) as partial:
            partial.mkdir()
            denoiser.save(partial)
        context.store.complete(artifact, made_from)
        return True


def step_shares(context: RunContext, partition: Partition) -> list[float]:
    """Which share of the evaluation's sampler steps falls into each interval."""
    timesteps = build_scheduler(context.denoiser, context.spec.evaluate).timesteps.tolist()
    return [sum(int(t) in part for t in timesteps) / len(timesteps) for part in partition]


def measured(context: RunContext, plan: PruningPlan) -> list[list[float]]:
    """For each interval the distance of each candidate, when the probes are done."""
    root = context.store.path
    return [
        [
            float(read_json(root / f"{plan.probe(interval, candidate)}.json")["distance"])
            for candidate in range(len(plan.widths))
        ]
        for interval in range(len(plan.partition))
    ]


def chosen(context: RunContext, plan: PruningPlan) -> tuple[int, ...]:
    """Each interval's candidate: the least sum of distances within the budget."""
    if not plan.probes:
        return (0,) * len(plan.partition)
    costs = [plan.fractions] * len(plan.partition)
    shares = step_shares(context, plan.partition)
    return choose_ratios(measured(context, plan), costs, shares, plan.kept)


def _origin(context: RunContext, plan: PruningPlan) -> dict[str, str | int]:
    return {"base": context.base_digest, "data": context.source.digest, "plan": plan.digest}


def _pruned(context: RunContext, plan: PruningPlan, interval: int, candidate: int) -> Denoiser:
    from ...ensembles.pruning import prune  # which imports diffusers' networks

    spec = plan.spec
    return prune(
        context.denoiser,
        plan.widths[candidate],
        context.source,
        plan.partition.ranges[interval],
        images=plan.images,
        batch_size=spec.decouple.batch_size,
        seed=spec.seed,
    )


def _job(
    context: RunContext, plan: PruningPlan, interval: int, start: Denoiser, steps: int, kind: str
) -> TrainingJob:
    """Plain finetuning on the interval; all candidates of one see the same draws."""
    spec, timesteps = plan.spec, plan.partition.ranges[interval]
    config = spec.decouple
    changes = {"steps": steps} | ({"snapshots": 0} if kind == "probe" else {})
    total = plan.boundaries[-1]
    return TrainingJob(
        name=f"{kind}-{_name(timesteps)}",
        pretrained=start,
        source=context.source,
        timesteps=TimestepSampler(timesteps, total, plan.p, config.draw_per, config.antithetic),
        config=config.model_copy(update=changes),
        placement="none",
        teacher=None,
        consistency=0.0,
        seed=spec.seed,
    )
