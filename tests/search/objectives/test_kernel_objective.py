import gc
import weakref
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor

from deme.errors import DataError, ProtocolError
from deme.metrics import squared_discrepancy
from deme.search import Evaluation, MomentSurface
from deme.search.objectives import KernelObjective
from search.objectives.feature_sets import TABLE, feature_sets, real_features

Make = Callable[[Tensor, str], KernelObjective]
MAKERS = [KernelObjective.kid, KernelObjective.cmmd]


def kid_kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def cmmd_kernel(x: Tensor, y: Tensor) -> Tensor:
    x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
    return torch.exp(-torch.cdist(x, y).square() / (2 * 10**2))


def distinct_mean(kernel: Tensor) -> float:
    return float((kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)))


def signed_discrepancy(sets: list[Tensor], real: Tensor, c: list[float], kind: str) -> float:
    """``Σ_jl c_j c_l K_jl − 2 Σ_j c_j k_j + k_rr``, a whole Gram matrix for each term."""
    kernel = kid_kernel if kind == "kid" else cmmd_kernel
    mean = distinct_mean if kind == "kid" else lambda gram: float(gram.mean())
    within = sum(
        a * b * mean(kernel(x, y))
        for a, x in zip(c, sets, strict=True)
        for b, y in zip(c, sets, strict=True)
    )
    across = sum(a * float(kernel(x, real).mean()) for a, x in zip(c, sets, strict=True))
    scale = 1 if kind == "kid" else 1000
    return scale * (within - 2 * across + mean(kernel(real, real)))


@pytest.mark.parametrize(("rows", "real_rows"), [(40, 70), (13, 9)])
def test_kid_is_the_metrics_discrepancy_of_whole_sets(rows: int, real_rows: int) -> None:
    real, tables = real_features(real_rows, 6), feature_sets(1, rows, 6)[0]
    value = float(KernelObjective.kid(real, TABLE).value(tables))
    assert value == pytest.approx(squared_discrepancy(tables[TABLE], real), rel=1e-8)


def test_cmmd_is_its_published_formula() -> None:
    real, tables = real_features(50, 6), feature_sets(1, 30, 6)[0]
    value = float(KernelObjective.cmmd(real, TABLE).value(tables))
    expected = signed_discrepancy([tables[TABLE]], real, [1.0], "cmmd")
    assert value == pytest.approx(expected, rel=1e-8)
    assert value > 0.01
    scaled = {TABLE: tables[TABLE] * 7}  # the length of a feature vector says nothing
    assert float(KernelObjective.cmmd(real, TABLE).value(scaled)) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("make", MAKERS)
def test_the_mixture_is_exact_on_signed_coefficients(make: Make) -> None:
    real, sets = real_features(30, 5), feature_sets(4, 20, 5)
    objective = make(real, TABLE)
    mixture = objective.mixture()
    for tables in sets:
        mixture.add(tables)
    tables = [tables[TABLE] for tables in sets]
    for c in ([0.3, 0.3, 0.3, 0.1], [2.0, -1.5, 0.0, 0.5], [-3.0, 1.0, 1.0, 2.0]):
        value = float(mixture(torch.tensor(c, dtype=torch.float64)))
        expected = signed_discrepancy(tables, real, c, objective.name)
        assert value == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("make", MAKERS)
def test_unit_vectors_give_each_sets_value(make: Make) -> None:
    objective, sets = make(real_features(30, 5), TABLE), feature_sets(3, 20, 5)
    mixture = objective.mixture()
    for tables in sets:
        mixture.add(tables)
    for value, tables in zip(mixture(torch.eye(3)), sets, strict=True):
        assert float(value) == pytest.approx(float(objective.value(tables)), rel=1e-8)


@pytest.mark.parametrize("make", MAKERS)
def test_gradients_are_those_of_finite_differences(make: Make) -> None:
    objective, sets = make(real_features(15, 4), TABLE), feature_sets(3, 8, 4)
    draws = torch.Generator().manual_seed(3)
    weights = torch.rand(8, generator=draws, dtype=torch.float64) + 0.5
    weights = (weights / weights.sum()).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: objective.value(sets[0], {TABLE: w}), (weights,))
    mixture = objective.mixture()
    for tables in sets:
        mixture.add(tables)
    point = torch.tensor([[0.5, -0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixture, (point,))


@pytest.mark.parametrize("make", MAKERS)
def test_rows_without_weight_do_not_count(make: Make) -> None:
    objective, table = make(real_features(30, 5), TABLE), feature_sets(1, 20, 5)[0][TABLE]
    weights = torch.zeros(20, dtype=torch.float64)
    weights[:12] = 1 / 12
    value = objective.value({TABLE: table}, {TABLE: weights})
    assert float(value) == pytest.approx(float(objective.value({TABLE: table[:12]})), rel=1e-8)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tables = real_features(50, 5), feature_sets(1, 33, 5)[0]
    whole = float(KernelObjective.kid(real, TABLE).value(tables))
    monkeypatch.setattr("deme.metrics.kernels.CHUNK_NUMBERS", 100)
    assert float(KernelObjective.kid(real, TABLE).value(tables)) == pytest.approx(whole, rel=1e-10)


def test_what_does_not_fit_is_refused() -> None:
    objective, table = KernelObjective.kid(real_features(30, 5), TABLE), real_features(9, 5)
    mixture = objective.mixture()
    mixture.add({TABLE: table})
    with pytest.raises(ProtocolError, match="dimensions"):
        objective.value({TABLE: table[:, :3]})
    with pytest.raises(DataError, match="at least 2"):
        objective.value({TABLE: table[:1]})
    with pytest.raises(DataError, match="8 rows cannot be mixed"):
        mixture.add({TABLE: table[:8]})
    with pytest.raises(DataError, match="not finite"):
        mixture.add({TABLE: table / 0})
    assert float(objective.value({TABLE: table / 0})) == float("inf")


class OnDisk(Mapping[str, Tensor]):
    """A table that is made anew each time it is asked for, and remembers which are still held."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.given: list[weakref.ref[Tensor]] = []

    def __getitem__(self, name: str) -> Tensor:
        made = self.table.clone()
        self.given.append(weakref.ref(made))
        return made

    def __iter__(self) -> Iterator[str]:
        return iter([TABLE])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("make", MAKERS)
def test_a_mixture_holds_no_tables_that_lie_on_disk(make: Make) -> None:
    objective = make(real_features(20, 6), TABLE)
    sets = [OnDisk(tables[TABLE]) for tables in feature_sets(3, 15, 6)]
    surface = MomentSurface(objective, (1.0,))
    for place, tables in enumerate(sets):
        value = float(objective.value(tables))
        surface.add(Evaluation((float(place),), 15, (value,), tables))
    gc.collect()
    assert all(tables.given for tables in sets)
    assert not any(table() is not None for tables in sets for table in tables.given)
