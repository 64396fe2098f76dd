"""What is refused before anything is trained, and what the runs of a comparison share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compare.conftest import tiny_comparison
from deme.compare.comparison import Comparison
from deme.compare.contender import Contender, Setting
from deme.compare.curve import curve_sets
from deme.compare.drawing import ImageSet
from deme.compare.models import PretrainedModel
from deme.compare.tasks import sibling
from deme.errors import ConfigError, DemeError, StorageError
from deme.files import TEMPORARY_PREFIX
from deme.generate import SamplerConfig

EXPERTS = {"kind": "experts"}
PLAIN = {"kind": "finetune"}


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"plain": PLAIN | {"decouple": {"weihgting": "p2"}}}, "arms.plain(.|\\n)*weihgting"),
        ({"plain": PLAIN | {"decouple": {"mixed_precision": "bf16"}}}, "one precision"),
        ({"a": EXPERTS, "soup": {"kind": "soup", "of": "a"}}, "arms.soup.*finetune"),
        ({"a": EXPERTS, "lcsc": {"kind": "lcsc", "of": "a"}}, "arms.lcsc.*finetune"),
        ({"a": EXPERTS, "oms": {"kind": "oms_dpm", "of": "a"}}, "arms.oms.*finetune"),
        ({"a": PLAIN, "ties": {"kind": "merged", "of": "a"}}, "arms.ties.*experts"),
        (
            {"a": EXPERTS, "ties": {"kind": "merged", "of": "a", "search": {"per": "blok"}}},
            "arms.ties(.|\\n)*blok",
        ),
        ({"mine": {"kind": "pipeline", "path": "nowhere/at/all"}}, "nowhere/at/all"),
    ],
)
def test_an_arm_that_cannot_be_made_is_refused_before_any_training(
    arms: dict[str, dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DemeError, match=message):
        tiny_comparison(tmp_path, arms).check()
    assert not [*tmp_path.glob("train-*")]


def test_sampler_steps_of_the_curve_are_checked_too(tmp_path: Path) -> None:
    comparison = tiny_comparison(tmp_path, {"plain": PLAIN})
    comparison.check()
    curve = comparison.spec.curve.model_copy(update={"sampler_steps": (2000,)})
    comparison.spec = comparison.spec.model_copy(update={"curve": curve})
    with pytest.raises(ConfigError, match="2000"):
        comparison.check()


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return tiny_comparison(tmp_path, {"plain": PLAIN, "deme": {"kind": "merged"}}, seeds=(0, 1))


def test_runs_of_a_comparison_share_its_references_and_are_carried_out_alike(
    comparison: Comparison,
) -> None:
    context = comparison.context
    runtime = context.spec.runtime.model_copy(update={"checkpointing_steps": 7, "workers": 2})
    context.spec = context.spec.model_copy(update={"runtime": runtime})
    trained = sibling(context, comparison.training_run(0, Setting(1e-3)))
    assert trained.spec.runtime.checkpointing_steps == 7 and trained.spec.runtime.workers == 1
    searched = sibling(context, context.spec.model_copy(update={"seed": 5}))
    assert searched.references is context.references and searched.source is context.source
    other = context.spec.evaluate.model_copy(update={"reference": "all"})
    apart = sibling(context, context.spec.model_copy(update={"evaluate": other}))
    assert apart.references is not context.references


def test_an_arm_with_a_sampler_of_its_own_keeps_it_at_every_seed_of_the_curve(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contender(_: Comparison, arm: str, seed: int, *__: object) -> Contender:
        found = comparison.spec.arms["pretrained"].contender(comparison, seed, Setting(1e-3))
        own = SamplerConfig(sampler="ddim", sampler_steps=3 + seed)
        return Contender(found.model, found.cost, own if arm == "own" else None)

    comparison = tiny_comparison(
        comparison.context.store.path.parent, {"pretrained": {"kind": "pretrained"}}, seeds=(0, 1)
    )
    monkeypatch.setattr(Comparison, "contender", contender)
    assert [s.sampler.sampler_steps for s in curve_sets(comparison, "own", 3)] == [3, 4]
    assert [s.sampler.sampler_steps for s in curve_sets(comparison, "pretrained", 9)] == [9, 9]


def test_images_that_were_damaged_are_told_with_what_to_do(comparison: Comparison) -> None:
    context = comparison.context
    model = PretrainedModel(context.base_digest)
    (task,) = ImageSet(model, SamplerConfig(sampler_steps=2), 0, 4, judged=False).tasks()
    path = context.store.path / task.artifact(context)
    path.parent.mkdir()
    path.write_bytes(b"not what was written")
    with pytest.raises(StorageError, match="draws these images again"):
        task.read(context)


def test_what_another_process_works_on_is_not_swept(comparison: Comparison) -> None:
    store = comparison.context.store
    partial = store.path / f"{TEMPORARY_PREFIX}half-01234567"
    partial.touch()
    with store.lock("expert-1"):
        store.sweep_where_idle()
        assert partial.exists()
    store.sweep_where_idle()
    assert not partial.exists()
