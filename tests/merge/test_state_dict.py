import pytest
import torch

from deme.errors import MismatchError
from deme.merge import StateDict, TaskVector


def test_the_digest_is_stable() -> None:
    """Pinned: run folders hold it."""
    weights = StateDict({"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(3)}, "x")
    assert weights.digest() == ("a62ebaaafc279b9e525c1dcc678a031be634b2f6c8d1a0365265a99806296bfc")


def test_the_digest_depends_on_content_alone() -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    digest = StateDict({"a": tensor, "b": tensor.T}, "x").digest()
    assert StateDict({"b": tensor.T.contiguous(), "a": tensor.clone()}, "y").digest() == digest


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([0.0, 1.0, 2.0, 3.0]), "c": torch.zeros(1)},
        {"a": torch.tensor([0.0, 1.0, 2.0, 3.0])},
        {"a": torch.tensor([[0.0, 1.0], [2.0, 3.0]]), "b": torch.zeros(1)},
        {"a": torch.tensor([0, 1, 2, 3], dtype=torch.int32), "b": torch.zeros(1)},
        {"a": torch.tensor([0.0, 1.0, 2.0, 3.0000002]), "b": torch.zeros(1)},
        {"a": torch.tensor([0.0, 1.0, 2.0, 3.0]), "b": -torch.zeros(1)},
    ],
    ids=["name", "missing", "shape", "dtype", "last bit", "sign of zero"],
)
def test_the_digest_feels_every_difference(other: dict[str, torch.Tensor]) -> None:
    weights = {"a": torch.tensor([0.0, 1.0, 2.0, 3.0]), "b": torch.zeros(1)}
    assert StateDict(weights, "x").digest() != StateDict(other, "x").digest()


def test_what_differs_is_listed() -> None:
    base = StateDict({"a": torch.zeros(1), "b": torch.zeros(2), "c": torch.zeros(1)}, "base")
    expert = StateDict(
        {"b": torch.zeros(3), "c": torch.zeros(1, dtype=torch.float16), "d": torch.zeros(1)},
        "expert",
    )
    with pytest.raises(MismatchError) as raised:
        TaskVector.between(base, expert)
    assert str(raised.value) == (
        "base and expert differ in 4 of 4 tensors:\n"
        "  a: only in base\n"
        "  d: only in expert\n"
        "  b: shape (2,) against (3,)\n"
        "  c: dtype torch.float32 against torch.float16.\n"
        "Fix: give experts that were finetuned from this very base, saved in one dtype."
    )


def test_a_long_list_is_cut() -> None:
    base = StateDict({f"layer{i}": torch.zeros(1) for i in range(9)}, "base")
    with pytest.raises(MismatchError) as raised:
        base.require_same_layout(StateDict({"other": torch.zeros(1)}, "expert"))
    lines = str(raised.value).splitlines()
    assert lines[0] == "base and expert differ in 10 of 10 tensors:"
    assert lines[7] == "  and 4 more." and len(lines) == 9


def test_equal_layouts_pass() -> None:
    first = StateDict({"a": torch.zeros(2), "b": torch.zeros(1)}, "first")
    first.require_same_layout(StateDict({"b": torch.ones(1), "a": torch.ones(2)}, "second"))


def test_weights_take_no_gradient() -> None:
    parameters = {"a": torch.nn.Parameter(torch.ones(2))}
    weights = StateDict(parameters, "x")
    assert not weights["a"].requires_grad
    assert TaskVector.between(weights, StateDict({"a": torch.zeros(2)}, "y")).norm() == 2**0.5
