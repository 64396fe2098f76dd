"""The training loop: what an expert is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from deme.data import ImageSource
from deme.decouple import TimestepRange, TimestepSampler, TrainingJob, train_expert
from deme.decouple.config import TrainingConfig, learning_rate_factor
from deme.decouple.draws import Draw, Drawer
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError

Write = Callable[..., Path]
MakeJob = Callable[..., TrainingJob]
Same = Callable[[Denoiser, Denoiser], bool]


def network_layout(denoiser: Denoiser) -> dict[str, Any]:
    return {
        "keys": {name: (v.shape, v.dtype) for name, v in denoiser.weights().items()},
        "classes": [type(module) for module in denoiser.network.modules()],
        "patched": [
            name for name in ("forward", "_original_forward") if name in vars(denoiser.network)
        ],
        "training": denoiser.network.training,
        "trained": [n for n, p in denoiser.network.named_parameters() if p.requires_grad],
    }


@pytest.mark.parametrize("placement", ["none", "foldable"])
@pytest.mark.parametrize("use_ema", [True, False])
def test_no_steps_give_the_pretrained_model(
    make_job: MakeJob,
    accelerator: Accelerator,
    pretrained: Denoiser,
    same_weights: Same,
    tmp_path: Path,
    placement: str,
    use_ema: bool,
) -> None:
    job = make_job(placement=placement, steps=0, use_ema=use_ema)
    result = train_expert(job, tmp_path, accelerator)
    assert same_weights(result.denoiser, pretrained)
    assert network_layout(result.denoiser) == network_layout(pretrained)
    assert result.losses == []


def test_no_learning_rate_gives_the_pretrained_model(
    make_job: MakeJob,
    accelerator: Accelerator,
    pretrained: Denoiser,
    same_weights: Same,
    tmp_path: Path,
) -> None:
    job = make_job(learning_rate=1e-60, steps=3)
    result = train_expert(job, tmp_path, accelerator)
    assert same_weights(result.denoiser, pretrained)
    assert [point["consistency"] for point in result.losses] == [0, 0, 0]


def test_training_changes_the_expert_and_nothing_else(
    make_job: MakeJob, accelerator: Accelerator, pretrained: Denoiser, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in pretrained.weights().items()}
    layout = network_layout(pretrained)
    result = train_expert(make_job(), tmp_path, accelerator)
    assert network_layout(pretrained) == network_layout(result.denoiser) == layout
    assert all(torch.equal(before[name], tensor) for name, tensor in pretrained.weights().items())
    assert all(p.grad is None for p in pretrained.network.parameters())
    moved = [
        n for n, tensor in result.denoiser.weights().items() if not torch.equal(tensor, before[n])
    ]
    assert len(moved) > 0.9 * len(before)
    assert [point["step"] for point in result.losses] == [1, 2, 3, 4]
    assert result.denoiser.clone().num_parameters() == pretrained.num_parameters()


def test_training_lowers_the_loss(
    make_job: MakeJob, accelerator: Accelerator, tmp_path: Path
) -> None:
    job = make_job(steps=40, batch_size=8, learning_rate=3e-3, consistency=0.0, p=1.0)
    losses = train_expert(job, tmp_path, accelerator).losses
    first, last = losses[:5], losses[-20:]
    assert sum(x["loss"] for x in last) < 0.8 * 4 * sum(x["loss"] for x in first)


@pytest.mark.parametrize("maximum", [0.9999, 0.5])
def test_the_average_is_the_result(
    make_job: MakeJob,
    accelerator: Accelerator,
    pretrained: Denoiser,
    tmp_path: Path,
    maximum: float,
) -> None:
    """The trajectory θ_k, from trainings of k steps, averaged here by METHOD's formula."""
    shared = {"placement": "none", "ema_max_decay": maximum}
    steps = 5
    trajectory = [
        train_expert(
            make_job(steps=k, use_ema=False, **shared), tmp_path / f"{k}", accelerator
        ).denoiser.weights()
        for k in range(1, steps + 1)
    ]
    average = {name: tensor.double() for name, tensor in pretrained.weights().items()}
    for k, weights in enumerate(trajectory):
        decay = min(maximum, 1 - (1 + k) ** -0.75)
        for name, tensor in weights.items():
            average[name] = decay * average[name] + (1 - decay) * tensor.double()
    job = make_job(steps=steps, use_ema=True, **shared)
    found = train_expert(job, tmp_path / "average", accelerator).denoiser.weights()
    assert any(not torch.equal(found[name], trajectory[-1][name]) for name in found)
    for name, tensor in found.items():
        assert torch.allclose(tensor.double(), average[name], atol=1e-7)


class Piece(Draw):
    """A part of another draw, its noise too."""

    def __init__(self, whole: Draw, part: slice) -> None:
        labels = None if whole.batch.labels is None else whole.batch.labels[part]
        batch = type(whole.batch)(whole.batch.images[part], labels)
        super().__init__(batch, whole.t[part], whole.noise_seed)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_part", part)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        return vars(self)["_whole"].noise(shape)[vars(self)["_part"]]


def test_accumulation_equals_one_large_batch(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # with a small ε AdamW makes full steps of the rounding in a gradient that is zero (to_k.bias)
    together = train_expert(
        make_job(batch_size=8, adam_epsilon=1e-3), tmp_path / "one", accelerator
    )
    own = Drawer.draw

    def halves(self: Drawer, step: int, micro: int) -> Draw:
        full = Drawer(
            self.source,
            self.timesteps,
            batch_size=8,
            accumulation=1,
            seed=self.seed,
            rank=0,
            world=1,
        )
        return Piece(own(full, step, 0), slice(4 * micro, 4 * micro + 4))

    monkeypatch.setattr(Drawer, "draw", halves)
    job = make_job(batch_size=4, gradient_accumulation_steps=2, adam_epsilon=1e-3)
    apart = train_expert(job, tmp_path / "two", accelerator)
    for one, two in zip(together.losses, apart.losses, strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    ours, theirs = apart.denoiser.weights(), together.denoiser.weights()
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=1e-6)


def test_gradients_are_clipped(
    make_job: MakeJob, accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    own = torch.optim.AdamW.step

    def watching(self: torch.optim.AdamW, *args: Any, **more: Any) -> Any:
        parameters = [p for group in self.param_groups for p in group["params"]]
        grads = [p.grad for p in parameters if p.grad is not None]
        norms.append(float(torch.stack([grad.norm() for grad in grads]).norm()))
        return own(self, *args, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", watching)
    loose = train_expert(make_job(max_grad_norm=1e6), tmp_path / "loose", accelerator)
    assert norms == pytest.approx([x["grad_norm"] for x in loose.losses], rel=1e-4)
    norms.clear()
    train_expert(make_job(max_grad_norm=0.01), tmp_path / "tight", accelerator)
    assert norms == pytest.approx([0.01] * 4, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"lr_scheduler": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"lr_scheduler": "cosine"}, [1, 0.8535534, 0.5, 0.1464466]),
        ({"lr_warmup_steps": 3}, [0.25, 0.5, 0.75, 1]),
        ({"lr_scheduler": "linear", "lr_warmup_steps": 2}, [1 / 3, 2 / 3, 1, 0.5]),
    ],
)
def test_rates_over_the_steps(
    make_job: MakeJob,
    accelerator: Accelerator,
    tmp_path: Path,
    settings: dict[str, Any],
    expected: list[float],
) -> None:
    factors = [learning_rate_factor(TrainingConfig(steps=4, **settings), k) for k in range(4)]
    assert factors == pytest.approx(expected, rel=1e-5)
    losses = train_expert(make_job(**settings), tmp_path, accelerator).losses
    assert [x["learning_rate"] for x in losses] == pytest.approx([1e-3 * x for x in expected])


def test_classes_are_trained(
    make_job: MakeJob,
    accelerator: Accelerator,
    tiny_pipeline: Write,
    tiny_source: Callable[..., ImageSource],
    tmp_path: Path,
) -> None:
    base = load_denoiser(tiny_pipeline("classes", num_class_embeds=4))
    source = tiny_source(classes=3)  # the fourth class is never seen
    result = train_expert(make_job(base, source, steps=6), tmp_path, accelerator)
    before = base.weights()["class_embedding.weight"]
    moved = (result.denoiser.weights()["class_embedding.weight"] - before).abs().amax(1)
    assert moved[:3].min() > 1e-5
    assert moved[3] < 1e-8


def test_the_paper_placement_stays_in_the_model(
    make_job: MakeJob, accelerator: Accelerator, pretrained: Denoiser, tmp_path: Path
) -> None:
    result = train_expert(make_job(placement="block"), tmp_path, accelerator)
    more = result.denoiser.num_parameters() - pretrained.num_parameters()
    assert more == 8**2 + 16**2 + 16**2 + 16**2 + 8**2
    offsets = [v for n, v in result.denoiser.weights().items() if n.startswith("channel_proj")]
    assert len(offsets) == 5
    assert all(bool(offset.any()) for offset in offsets)


def test_parts_that_do_not_belong_together(make_job: MakeJob, pretrained: Denoiser) -> None:
    job = make_job()
    fields = {name: getattr(job, name) for name in job.__dataclass_fields__}
    with pytest.raises(ConfigError, match=r"consistency 1\.0 and no teacher"):
        TrainingJob(**{**fields, "teacher": None})
    sampler = TimestepSampler(TimestepRange(0, 10), 100, 0.3)
    with pytest.raises(ConfigError, match=r"draws from 100 timesteps.*has 1000"):
        TrainingJob(**{**fields, "timesteps": sampler})
