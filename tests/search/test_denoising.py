"""The denoising loss over merging weights, against brute force in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deme.data import MemorySource
from deme.decouple import Partition, validation_losses
from deme.denoisers import Conditioning, Denoiser, load_denoiser
from deme.errors import ConfigError, MismatchError
from deme.merge import StateDict, TaskVector, merge_weights
from deme.search.denoising import DenoisingProblem
from deme.search.quadratic_loss import QuadraticLoss
from deme.search.space import Box
from merge.tiny_denoiser import TinyDenoiser

POINT = (0.3, -0.7)
Source = Callable[..., MemorySource]


class LinearDenoiser(TinyDenoiser):
    """Its prediction is linear in its weights, so the loss is exactly quadratic in ``w``."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(5)
        self.network = nn.Conv2d(1, 1, 3, padding=1).double().requires_grad_(False)
        for parameter in self.network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws))

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        return network(x_t)


class OnlyBackward(torch.autograd.Function):
    """The identity, without forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class NoForwardMode(TinyDenoiser):
    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        output: Any = OnlyBackward.apply(super().predict_with(network, x_t, t, conditioning))
        return output


def vectors_of(base: StateDict, scale: float = 0.3, count: int = 2) -> list[TaskVector]:
    vectors = []
    for index in range(count):
        draws = torch.Generator().manual_seed(10 + index)
        tensors = {
            name: scale * torch.randn(item.shape, generator=draws) * item.is_floating_point()
            for name, item in base.items()
        }
        vectors.append(TaskVector(tensors, f"expert {index}"))
    return vectors


def base_of(denoiser: Denoiser) -> StateDict:
    return StateDict({k: v.clone() for k, v in denoiser.weights().items()}, "base")


def problem_of(
    denoiser: Denoiser, source: MemorySource, boundaries: Sequence[int] = (30,), **settings: Any
) -> DenoisingProblem:
    denoiser.network.eval()
    base = base_of(denoiser)
    total = denoiser.schedule.num_timesteps
    partition = Partition.from_boundaries(boundaries, total)
    given = {"images": 9, "seed": 4, "batch_size": 4, **settings}
    return DenoisingProblem(denoiser, base, vectors_of(base), source, partition, **given)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v"])
def test_the_value_is_the_validation_losses_mean_over_all_timesteps(
    prediction: Any, tiny_source: Source
) -> None:
    denoiser, source = TinyDenoiser(), tiny_source()
    denoiser.prediction = prediction
    problem = problem_of(denoiser, source)
    merged = denoiser.clone()
    merged.load_weights(merge_weights(problem.merge.base, problem.merge.vectors, POINT))
    low, high = validation_losses(merged, source, problem.partition, images=9, seed=4)
    assert problem.value(POINT) == pytest.approx(0.3 * low + 0.7 * high, rel=1e-6)


def test_the_gradient_is_that_of_finite_differences(tiny_source: Source) -> None:
    problem = problem_of(TinyDenoiser(), tiny_source())
    value, gradient = problem.value_and_gradient(POINT)
    assert value == pytest.approx(problem.value(POINT), rel=1e-12)
    step = 1e-4
    for i in range(2):
        ends = [[w + s * (i == j) for j, w in enumerate(POINT)] for s in (step, -step)]
        slope = (problem.value(ends[0]) - problem.value(ends[1])) / (2 * step)
        assert float(gradient[i]) == pytest.approx(slope, rel=1e-6)


def test_the_model_is_the_loss_itself_where_the_prediction_is_linear(tiny_source: Source) -> None:
    problem = problem_of(LinearDenoiser(), tiny_source())
    model = problem.quadratic(POINT)
    for point in [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.5)]:
        assert model(point) == pytest.approx(problem.value(point), rel=1e-12)


def test_the_models_curvature_is_that_of_the_predictions_jacobian(tiny_source: Source) -> None:
    """Brute force: the predictions of every sample at displaced weights, one sample at a time."""
    source = tiny_source()
    problem = problem_of(TinyDenoiser(), source, batch_size=1)
    drawn = list(problem._batches(1))

    def predictions(point: Sequence[float]) -> Tensor:
        merged = problem.merge.at(point)
        roots = [(each.weight / each.target.numel()) ** 0.5 for each in drawn]
        outputs = [problem._predict(merged, each) for each in drawn]
        return torch.cat([r * o.flatten() for r, o in zip(roots, outputs, strict=True)])

    step = 1e-4
    columns = []
    for i in range(2):
        ends = [[w + s * (i == j) for j, w in enumerate(POINT)] for s in (step, -step)]
        columns.append((predictions(ends[0]) - predictions(ends[1])) / (2 * step))
    jacobian = torch.stack(columns, 1)
    model = problem.quadratic(POINT)
    torch.testing.assert_close(model.hessian, 2 * jacobian.T @ jacobian, rtol=1e-6, atol=0)
    _, gradient = problem.value_and_gradient(POINT)
    torch.testing.assert_close(model.gradient, gradient, rtol=1e-10, atol=1e-12)


def test_without_forward_mode_differences_take_its_place(tiny_source: Source) -> None:
    exact = problem_of(TinyDenoiser(), tiny_source()).quadratic(POINT)
    model = problem_of(NoForwardMode(), tiny_source()).quadratic(POINT)
    assert model.value == pytest.approx(exact.value, rel=1e-12)
    torch.testing.assert_close(model.gradient, exact.gradient, rtol=1e-6, atol=0)
    torch.testing.assert_close(model.hessian, exact.hessian, rtol=1e-6, atol=0)


def test_a_unet_with_attention_has_forward_mode(
    tiny_pipeline: Callable[..., Path], tiny_source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(DenoisingProblem, "_differences")
    problem = problem_of(load_denoiser(tiny_pipeline()), tiny_source(), (300,))
    problem.merge.vectors = tuple(vectors_of(problem.merge.base, 0.01))
    _, gradient = problem.value_and_gradient(POINT)
    model = problem.quadratic(POINT)
    torch.testing.assert_close(model.gradient, gradient, rtol=1e-3, atol=1e-6)


def test_the_batch_size_changes_nothing(tiny_source: Source) -> None:
    first, second = (problem_of(TinyDenoiser(), tiny_source(), batch_size=n) for n in (2, 7))
    assert first.value(POINT) == pytest.approx(second.value(POINT), rel=1e-12)
    for one, other in [
        (first.value_and_gradient(POINT)[1], second.value_and_gradient(POINT)[1]),
        (first.quadratic(POINT).hessian, second.quadratic(POINT).hessian),
    ]:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_the_model_and_the_base_stay_as_they_were(tiny_source: Source) -> None:
    denoiser = TinyDenoiser()
    before = base_of(denoiser).digest()
    problem = problem_of(denoiser, tiny_source())
    problem.value_and_gradient(POINT)
    problem.quadratic(POINT)
    assert base_of(denoiser).digest() == problem.merge.base.digest() == before
    assert not any(item.requires_grad for item in denoiser.network.state_dict().values())


def test_what_does_not_belong_together_is_refused(tiny_source: Source) -> None:
    problem = problem_of(TinyDenoiser(), tiny_source())
    with pytest.raises(ConfigError, match="2 task vectors need 2 weights, not 3"):
        problem.value([0.0] * 3)
    foreign = TaskVector({"layer": torch.ones(3)}, "foreign")
    given = (problem.merge.denoiser, problem.merge.base)
    with pytest.raises(MismatchError, match="foreign is not of base's layout"):
        DenoisingProblem(*given, [foreign], problem.source, problem.partition)
    with pytest.raises(ConfigError, match="needs a task vector"):
        DenoisingProblem(*given, [], problem.source, problem.partition)


@pytest.mark.parametrize("seed", range(5))
def test_the_minimiser_is_the_boxs_best_point(seed: int) -> None:
    """No point of a fine grid over the box is lower; in two weights that is brute force."""
    draws = torch.Generator().manual_seed(seed)
    root = torch.randn(2, 2, generator=draws, dtype=torch.float64)
    model = QuadraticLoss(
        (0.2, -0.1), 1.0, torch.randn(2, generator=draws, dtype=torch.float64), root.T @ root
    )
    box = Box((-0.5, -1.0), (1.0, 0.5))
    found = model.minimiser(box)
    assert box.clip(found) == found
    rows = torch.linspace(-0.5, 1.0, 61).tolist()
    least = min(model((x, y)) for x in rows for y in torch.linspace(-1.0, 0.5, 61).tolist())
    assert model(found) <= least + 1e-9


def test_a_flat_direction_does_no_harm(tiny_source: Source) -> None:
    """Two equal experts: only their sum of weights matters, and it is found."""
    problem = problem_of(LinearDenoiser(), tiny_source())
    first = problem.merge.vectors[0]
    alone = DenoisingProblem(
        problem.merge.denoiser,
        problem.merge.base,
        [first],
        problem.source,
        problem.partition,
        images=9,
        seed=4,
    )
    (best,) = alone.quadratic([0.0]).minimiser(Box.cube((-9.0, 9.0), 1))
    problem.merge.vectors = (first, first)
    model = problem.quadratic((0.0, 0.0))
    assert sum(model.minimiser(Box.cube((-9.0, 9.0), 2))) == pytest.approx(best, rel=1e-6)
    flat = QuadraticLoss((0.5,), 1.0, torch.zeros(1).double(), torch.zeros(1, 1).double())
    assert flat.minimiser(Box.cube((0.0, 1.0), 1)) == (0.5,)
