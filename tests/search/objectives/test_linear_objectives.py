from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deme.data import MemorySource
from deme.decouple import Partition, validation_losses, validation_table
from deme.denoisers import load_denoiser
from deme.errors import ConfigError, DataError, ProtocolError
from deme.search.objectives import (
    AlignmentObjective,
    LinearObjective,
    LossObjective,
    RewardObjective,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def objectives() -> list[tuple[LinearObjective, Callable[[int], dict[str, Tensor]]]]:
    return [
        (AlignmentObjective(normal(9, 4), "clip"), lambda seed: {"clip": normal(9, 4, seed=seed)}),
        (RewardObjective(), lambda seed: {"reward": normal(9, 1, seed=seed)}),
        (LossObjective([1, 3]), lambda seed: {"loss": normal(9, 2, seed=seed)}),
    ]


@pytest.mark.parametrize(("objective", "make"), objectives(), ids=["clip", "reward", "loss"])
def test_they_are_linear_in_rows_and_in_sets(
    objective: LinearObjective, make: Callable[[int], dict[str, Tensor]]
) -> None:
    sets = [make(1), make(2), make(3)]
    mixture = objective.mixture()
    for tables in sets:
        mixture.add(tables)
    c = torch.tensor([1.5, -1.0, 0.5])
    values = torch.stack([objective.value(tables) for tables in sets])
    assert float(mixture(c)) == pytest.approx(float(c.double() @ values), rel=1e-10)
    torch.testing.assert_close(mixture(torch.eye(3)), values, rtol=1e-12, atol=0)
    weights = torch.rand(9, dtype=torch.float64).requires_grad_()
    name = objective.reads[0]
    value = objective.value(sets[0], {name: weights})
    (gradient,) = torch.autograd.grad(value, weights)
    torch.testing.assert_close(gradient, objective.row_values(sets[0]))
    broken = {name: torch.full_like(sets[0][name], torch.nan)}
    assert float(objective.value(broken)) == float("inf")
    with pytest.raises(DataError, match="not finite"):
        mixture.add(broken)


def test_the_clip_score_is_the_mean_cosine_in_hundredths_never_below_zero() -> None:
    text = torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    images = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-4.0, 0.0]])
    value = AlignmentObjective(text, "clip").value({"clip": images})
    assert float(value) == pytest.approx(-(100 + 100 / 2**0.5 + 0) / 3)
    first_two = AlignmentObjective(text, "clip").value({"clip": images[:2]})
    assert float(first_two) == pytest.approx(-(100 + 100 / 2**0.5) / 2)


def test_images_need_captions_of_the_same_model() -> None:
    objective = AlignmentObjective(normal(3, 4), "clip")
    with pytest.raises(DataError, match="5 images and 3 captions"):
        objective.value({"clip": normal(5, 4)})
    with pytest.raises(ProtocolError, match="dimensions"):
        objective.value({"clip": normal(3, 5)})


def test_a_higher_reward_is_a_lower_value() -> None:
    value = RewardObjective().value({"reward": torch.tensor([[1.0], [4.0]])})
    assert float(value) == -2.5
    with pytest.raises(DataError, match="2 columns, not one"):
        RewardObjective().value({"reward": torch.zeros(3, 2)})


def test_ranges_count_as_they_are_weighted() -> None:
    tables = {"loss": torch.tensor([[1.0, 5.0], [3.0, 9.0]])}
    assert float(LossObjective().value(tables)) == pytest.approx((2 + 7) / 2)
    assert float(LossObjective([1, 3]).value(tables)) == pytest.approx((2 + 3 * 7) / 4)
    with pytest.raises(DataError, match="2 ranges and 3 weights"):
        LossObjective([1, 1, 1]).value(tables)


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [1.0, -1.0], [float("nan"), 1.0], []])
def test_weights_of_ranges_that_mean_nothing_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ConfigError, match="no weights of ranges"):
        LossObjective(wrong)


def test_the_validation_tables_means_are_the_validation_losses(
    tiny_pipeline: Callable[..., object], tiny_source: Callable[..., MemorySource]
) -> None:
    denoiser, source = load_denoiser(str(tiny_pipeline())), tiny_source(24)
    partition = Partition.uniform(3, denoiser.schedule.num_timesteps)
    table = validation_table(denoiser, source, partition, images=10, batch_size=4, seed=5)
    expected = validation_losses(denoiser, source, partition, images=10, batch_size=10, seed=5)
    assert table.shape == (10, 3) and table.dtype == torch.float32
    torch.testing.assert_close(table.double().mean(0), torch.tensor(expected).double())
    whole = validation_table(denoiser, source, partition, images=10, batch_size=10, seed=5)
    torch.testing.assert_close(table, whole, rtol=1e-5, atol=1e-6)
    assert len(validation_table(denoiser, source, partition, images=99)) == 24
