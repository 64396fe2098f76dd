import numpy as np
import pytest
import torch

from deme.errors import MismatchError
from deme.merge import TaskVector, cosine_matrix


def random_vector(seed: int, scale: float = 1.0) -> TaskVector:
    draws = torch.Generator().manual_seed(seed)
    return TaskVector(
        {
            "w": scale * torch.randn(17, 5, generator=draws),
            "b": scale * torch.randn(9, generator=draws),
        },
        f"e{seed}",
    )


def flat(vector: TaskVector) -> np.ndarray:
    return np.concatenate([vector[key].double().numpy().ravel() for key in vector])


def test_norms_and_cosines_equal_numpys() -> None:
    first, second = random_vector(1), random_vector(2, scale=1e-3)
    a, b = flat(first), flat(second)
    assert first.norm() == pytest.approx(np.linalg.norm(a), rel=1e-12)
    expected = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    assert first.cosine(second) == pytest.approx(expected, rel=1e-9)


def test_the_cosine_matrix_is_symmetric_with_a_diagonal_of_ones() -> None:
    vectors = [random_vector(seed, scale=10.0**-seed) for seed in range(4)]
    matrix = np.array(cosine_matrix(vectors))
    rows = np.stack([flat(vector) for vector in vectors])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(matrix, rows @ rows.T, rtol=0, atol=1e-12)
    assert np.array_equal(matrix, matrix.T) and np.array_equal(np.diag(matrix), np.ones(4))


def test_a_zero_vector_has_cosine_zero() -> None:
    zero = TaskVector({"w": torch.zeros(17, 5), "b": torch.zeros(9)}, "zero")
    assert zero.cosine(random_vector(1)) == 0.0
    assert cosine_matrix([zero, random_vector(1)]) == [[0.0, 0.0], [0.0, 1.0]]


def test_opposite_vectors_have_cosine_minus_one() -> None:
    vector = random_vector(3)
    opposite = TaskVector({key: -2 * vector[key] for key in vector}, "opposite")
    assert vector.cosine(opposite) == pytest.approx(-1, abs=1e-12)


def test_sums_are_float64() -> None:
    """In float32 the ones would vanish beside 1e8."""
    vector = TaskVector({"w": torch.cat([torch.tensor([1e4]), torch.ones(1000)])}, "v")
    assert vector.dot(vector) == 1e8 + 1000


@pytest.mark.parametrize(
    "other", [{"w": torch.zeros(3)}, {"w": torch.zeros(4), "b": torch.zeros(1)}]
)
def test_vectors_of_other_layouts_have_no_cosine(other: dict[str, torch.Tensor]) -> None:
    vector = TaskVector({"w": torch.ones(4)}, "v")
    with pytest.raises(MismatchError, match="v and other differ in layout"):
        vector.dot(TaskVector(other, "other"))
