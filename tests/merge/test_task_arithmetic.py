from collections.abc import Callable

import pytest
import torch

from deme.errors import ConfigError, MismatchError
from deme.merge import StateDict, TaskVector, merge_weights, task_arithmetic

MakeState = Callable[..., StateDict]


@pytest.fixture
def theta(make_state: MakeState) -> StateDict:
    return make_state(0)


@pytest.fixture
def experts(theta: StateDict, make_state: MakeState) -> list[StateDict]:
    """Three experts near the base, at distances of a real finetuning and far beyond it."""
    return [
        StateDict({k: theta[k] + d for k, d in make_state(seed, scale).items()}, f"e{seed}")
        for seed, scale in ((1, 3e-3), (2, 0.1), (3, 10.0))
    ]


@pytest.fixture
def vectors(theta: StateDict, experts: list[StateDict]) -> list[TaskVector]:
    return [TaskVector.between(theta, expert) for expert in experts]


def same(first: StateDict, second: StateDict) -> bool:
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_one_hot_weights_give_the_expert_to_two_roundings(
    theta: StateDict, experts: list[StateDict], vectors: list[TaskVector], chosen: int
) -> None:
    """θ + (θ_i − θ) rounds twice: the difference, then the sum; each by half a unit (2^-24)."""
    weights = [float(i == chosen) for i in range(3)]
    merged = merge_weights(theta, vectors, weights)
    for key, expert in experts[chosen].items():
        exact = expert.double()
        error = (merged[key].double() - exact).abs()
        size = vectors[chosen][key].double().abs() + merged[key].double().abs()
        assert bool((error <= 2.0**-24 * size).all())


def test_zero_weights_give_the_base_bit_for_bit(
    theta: StateDict, vectors: list[TaskVector]
) -> None:
    assert merge_weights(theta, vectors, [0.0, 0.0, 0.0]).digest() == theta.digest()
    assert merge_weights(theta, [], []).digest() == theta.digest()


def test_merging_equals_equation_8_in_float64(theta: StateDict, vectors: list[TaskVector]) -> None:
    weights = [0.7, -0.4, 1.3]
    merged = merge_weights(theta, vectors, weights)
    for key in theta:
        exact = theta[key].double() + sum(
            w * v[key].double() for w, v in zip(weights, vectors, strict=True)
        )
        torch.testing.assert_close(merged[key].double(), exact, rtol=1e-6, atol=1e-5)


def test_merging_is_affine_in_the_weights(theta: StateDict, vectors: list[TaskVector]) -> None:
    """M(au + (1-a)v) = a M(u) + (1-a) M(v)."""
    u, v, a = [1.0, -0.5, 0.2], [0.0, 2.0, -1.0], 0.3
    mixed = merge_weights(theta, vectors, [a * x + (1 - a) * y for x, y in zip(u, v, strict=True)])
    first, second = merge_weights(theta, vectors, u), merge_weights(theta, vectors, v)
    for key in theta:
        expected = a * first[key] + (1 - a) * second[key]
        torch.testing.assert_close(mixed[key], expected, rtol=1e-5, atol=2e-5)


def test_the_order_of_experts_does_not_matter(theta: StateDict, vectors: list[TaskVector]) -> None:
    weights = [0.4, -0.2, 0.9]
    forward = merge_weights(theta, vectors, weights)
    backward = merge_weights(theta, vectors[::-1], weights[::-1])
    for key in theta:
        torch.testing.assert_close(forward[key], backward[key], rtol=1e-6, atol=5e-6)


def test_inputs_stay_as_they_are(theta: StateDict, vectors: list[TaskVector]) -> None:
    before = [theta.digest(), *(StateDict(v, v.name).digest() for v in vectors)]
    merge_weights(theta, vectors, [0.5, 0.5, 0.5])
    assert [theta.digest(), *(StateDict(v, v.name).digest() for v in vectors)] == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_arithmetic_is_float32_even_for_a_half_precision_base(dtype: torch.dtype) -> None:
    """Each difference alone is lost in the sum in half precision; eight of them are not."""
    step = torch.finfo(dtype).eps / 4
    base = StateDict({"w": torch.ones(3, dtype=dtype)}, "base")
    vectors = [TaskVector({"w": torch.full((3,), step)}, f"e{i}") for i in range(8)]
    merged = merge_weights(base, vectors, [1.0] * 8)["w"]
    assert merged.dtype == dtype
    assert merged.tolist() == [1 + 8 * step] * 3
    lost = torch.ones(3, dtype=dtype)
    for vector in vectors:
        lost += vector["w"].to(dtype)
    assert lost.tolist() == [1.0] * 3


def test_a_difference_of_half_precision_weights_is_float32() -> None:
    base = StateDict({"w": torch.tensor([1.0, 256.0], dtype=torch.bfloat16)}, "base")
    expert = StateDict({"w": torch.tensor([1.0078125, -0.001], dtype=torch.bfloat16)}, "expert")
    tau = TaskVector.between(base, expert)["w"]
    assert tau.dtype == torch.float32
    assert torch.equal(tau, expert["w"].float() - base["w"].float())


def test_a_wrong_number_of_weights_is_refused(theta: StateDict, vectors: list[TaskVector]) -> None:
    with pytest.raises(ConfigError, match=r"^3 task vectors need 3 weights, not 2\.$"):
        merge_weights(theta, vectors, [1.0, 0.0])


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e38])
def test_a_merge_that_is_not_finite_is_refused(
    theta: StateDict, vectors: list[TaskVector], weight: float
) -> None:
    with pytest.raises(MismatchError, match=r"not finite in layer\.bias"):
        merge_weights(theta, vectors, [0.0, 0.0, weight])


def test_a_task_vector_of_another_model_is_refused(theta: StateDict) -> None:
    other_keys = TaskVector({"layer.weight": torch.zeros(64, 32)}, "other")
    broadcastable = TaskVector({k: torch.zeros(1) for k in theta}, "one number each")
    for vector in (other_keys, broadcastable):
        with pytest.raises(MismatchError, match=f"task vector {vector.name} is not of state 0's"):
            merge_weights(theta, [vector], [1.0])


def test_the_function_itself_is_a_pure_function_of_tensors() -> None:
    base = torch.tensor([1.0, 2.0])
    merged = task_arithmetic(base, [torch.tensor([1.0, -1.0])], [0.5])
    assert merged.tolist() == [1.5, 1.5] and base.tolist() == [1.0, 2.0]
    assert not same(StateDict({"w": merged}, ""), StateDict({"w": base}, ""))
