from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from deme.compare.arms.contract import Arm
from deme.compare.arms.finetune import FinetuneArm
from deme.compare.arms.oms_dpm import OmsDpmArm
from deme.compare.arms.schedule_tasks import CountTask, MeasureTask, ProposeTask
from deme.compare.contender import Contender, Cost, Setting
from deme.compare.models import PipelineModel, RoutedModel
from deme.compare.tasks import Task, TrainTask, sibling
from deme.config import parse_config
from deme.decouple import DecoupleConfig
from deme.ensembles.schedule import ModelSchedule
from deme.errors import ConfigError
from deme.generate import ImageRequest, generate_images
from deme.runs.context import RunContext
from deme.runs.spec import RunSpec
from deme.runs.stages.sampling import draw_features
from integration.tiny_run import context_of

RATES = (1e-3, 2e-3)
SETTING = Setting(RATES[0])
SAMPLER = ("evaluate.sampler_steps=6", "search.images=24", "evaluate.sample_batch_size=24")


class NudgedBench:
    """A bench whose models are the pretrained one, nudged instead of trained."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.budget_steps = 4

    def training_run(self, seed: int, setting: Setting, **decouple: Any) -> RunSpec:
        base = self.context.spec
        values = {**decouple, "learning_rate": setting.learning_rate}
        return RunSpec(
            model=base.model,
            data=base.data,
            detector=base.detector,
            seed=seed,
            decouple=parse_config(DecoupleConfig, values),
        )

    def arm(self, name: str) -> Arm:
        kinds = {"plain": FinetuneArm(kind="finetune"), "oms": OmsDpmArm(kind="oms_dpm", of="oms")}
        return kinds[name]

    def settings(self) -> Sequence[Setting]:
        return [Setting(rate) for rate in RATES]

    def contender(self, arm: str, seed: int, setting: Setting | None = None) -> Contender:
        parts = tuple(self.nudged(f"{arm}-{i}", 0.01 * (i + 1)) for i in range(2))
        return Contender(RoutedModel(parts, (0, 500, 1000)), Cost(8, 80, 8.0, 5))

    def flops_per_step(self, spec: RunSpec, index: int = 0) -> float | None:
        return 2.0

    def nudged(self, name: str, size: float) -> PipelineModel:
        folder = self.context.store.path / "nudged" / name
        artifact = f"nudged/{name}"
        if not folder.exists():
            save_nudged(self.context, folder, size)
            self.context.store.complete(artifact, {})
        return PipelineModel(folder, self.context.store.digest_of(artifact))

    def train(self, task: TrainTask) -> None:
        """What the training would leave."""
        spec = RunSpec.model_validate_json(task.spec)
        run = sibling(self.context, spec)
        folder = run.expert_folder(run.experts[task.index])
        if not folder.exists():
            save_nudged(self.context, folder, spec.decouple.learning_rate)
            run.store.complete(f"experts/{folder.name}", {})


def save_nudged(context: RunContext, folder: Path, size: float) -> None:
    denoiser = context.denoiser.clone()
    draws = torch.Generator().manual_seed(int(size * 1e6))
    weights = {
        name: w + size * w.std() * torch.randn(w.shape, generator=draws) if w.numel() > 1 else w
        for name, w in denoiser.weights().items()
    }
    denoiser.load_weights(weights)
    folder.mkdir(parents=True)
    denoiser.save(folder)


def arm_of(**options: Any) -> OmsDpmArm:
    small = {"schedules": 6, "images": 16, "finalists": 2, "sampler_steps": (6, 3)}
    return OmsDpmArm(kind="oms_dpm", of="plain", zoo=("routed",), **{**small, **options})


def make(bench: NudgedBench, arm: OmsDpmArm) -> list[Task]:
    """Does what is missing; the tasks that did anything."""
    worked: list[Task] = []
    for phase in arm.phases(bench, 0, SETTING):
        for task in phase:
            if isinstance(task, TrainTask):
                bench.train(task)
            elif pickle.loads(pickle.dumps(task)).run(bench.context):
                worked.append(task)
    return worked


Kind = TypeVar("Kind")


def only(bench: NudgedBench, arm: OmsDpmArm, kind: type[Kind]) -> Kind:
    """The arm's task of a kind that it has one of."""
    phases = arm.phases(bench, 0, SETTING)
    (task,) = [task for phase in phases for task in phase if isinstance(task, kind)]
    return task


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> NudgedBench:
    context = context_of(tmp_path_factory.mktemp("compare"), *SAMPLER)
    context.store.prepare()
    made = NudgedBench(context)
    make(made, arm_of())
    return made


def test_a_zoo_is_searched_and_the_result_draws(bench: NudgedBench) -> None:
    found = arm_of().contender(bench, 0, SETTING)
    assert found.sampler is not None
    assert found.facts["zoo"] == ["plain at 0.001", "plain at 0.002", "routed 1/2", "routed 2/2"]
    assert found.facts["operations"] <= 1
    steps = [int(run.split(" × ")[0]) for run in found.facts["schedule"].split(", ")]
    assert sum(steps) == found.sampler.sampler_steps in (6, 3)
    images = generate_images(found.model.open(bench.context), ImageRequest(found.sampler, 1, 3))
    assert images.shape == (3, 1, 8, 8)


def test_the_best_measured_finalist_stands_for_the_arm(bench: NudgedBench) -> None:
    found = arm_of().contender(bench, 0, SETTING)
    proposal = only(bench, arm_of(), ProposeTask)
    opened = proposal.bank.open(bench.context)
    finalists = [ModelSchedule(tuple(m)) for m in opened.read(proposal.name)["schedules"]]
    distances = opened.distances(finalists, bench.context.spec.search.images)
    best = min(range(2), key=lambda index: (distances[index], finalists[index]))
    assert len(set(finalists)) == 2
    assert found.sampler is not None
    assert found.model.digest == opened.model(finalists[best]).digest
    by_hand = draw_features(
        found.model.open(bench.context),
        ImageRequest(found.sampler, bench.context.spec.search.seed, 24),
        bench.context.detectors[:1],
    )
    reference = bench.context.references["digits"]
    assert distances[best] == pytest.approx(reference.search_distance(by_hand["digits"]), rel=1e-6)


def test_nothing_is_done_twice_and_budgets_share_what_is_measured(bench: NudgedBench) -> None:
    assert make(bench, arm_of()) == []
    half = arm_of(budget=0.5)
    kinds = {type(task) for task in make(bench, half)}
    assert ProposeTask in kinds
    assert not kinds & {CountTask, MeasureTask}
    found = half.contender(bench, 0, SETTING)
    assert found.facts["operations"] == 0.5
    assert found.sampler is not None
    assert found.sampler.sampler_steps == 3


def test_the_zoo_is_paid_for_once_and_all_images_that_chose_are_counted(
    bench: NudgedBench,
) -> None:
    found = arm_of().contender(bench, 0, SETTING)
    batch = DecoupleConfig().batch_size
    assert found.cost.training_steps == 2 * 4 + 8
    assert found.cost.training_images == 2 * 4 * batch + 80
    assert found.cost.training_flops == 2 * 4 * 2.0 + 8.0
    # four models and a routed arm at two numbers of steps, and six at random
    assert found.facts["schedules_measured"] == 5 * 2 + 6
    assert found.cost.search_images == 16 * 16 + 2 * 24 + 5


def test_another_training_seed_is_another_zoo(bench: NudgedBench) -> None:
    seeds = [arm_of().phases(bench, seed, SETTING)[0] for seed in (0, 1)]
    assert [len(trainings) for trainings in seeds] == [2, 2]
    assert not set(seeds[0]) & set(seeds[1])


def test_operations_are_those_of_the_pretrained_model(bench: NudgedBench) -> None:
    opened = only(bench, arm_of(), CountTask).bank.open(bench.context)
    assert opened.space().costs == (1.0,) * 4
    assert opened.limit(1.0) == 6
    assert opened.limit(0.5) == 3


def test_what_cannot_be_scheduled_is_refused(bench: NudgedBench) -> None:
    with pytest.raises(ConfigError, match="the arm oms is none"):
        OmsDpmArm(kind="oms_dpm", of="oms").phases(bench, 0, SETTING)
    spec = bench.context.spec
    evaluate = spec.evaluate.model_copy(update={"sampler": "pndm"})
    other = RunContext(
        spec.model_copy(update={"evaluate": evaluate}), bench.context.store, bench.context.reporter
    )
    with pytest.raises(ConfigError, match="several times in a step"):
        arm_of().phases(NudgedBench(other), 0, SETTING)
    task = dataclasses.replace(only(bench, arm_of(), ProposeTask), budget=0.3)
    with pytest.raises(ConfigError, match="No schedule costs"):
        task.run(bench.context)
