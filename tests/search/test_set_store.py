"""Sets on disk: drawn once, extended, exact, and gone with their key."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from deme.errors import StorageError
from deme.search.evaluation import Proposal
from deme.search.measuring import measure
from deme.search.set_store import SetStore, rounded
from search.toy_search import MeanObjective

AT = (0.25, -0.1)
ROWS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
LOSS = torch.tensor([[0.5], [0.25], [math.inf]])


class Draw:
    """Rows of a fixed table, with the ranges that were asked for."""

    def __init__(self, with_loss: bool = True) -> None:
        self.ranges: list[range] = []
        self.with_loss = with_loss

    def __call__(self, rows: range) -> dict[str, Tensor]:
        self.ranges.append(rows)
        tables = {"features": ROWS[rows.start : rows.stop]}
        return {**tables, "loss": LOSS} if self.with_loss and rows.start == 0 else tables


def store(folder: Path, key: str = "key") -> SetStore:
    return SetStore(folder, key, whole=("loss",), protocol={"seed": 1000})


def test_a_set_comes_back_bit_for_bit(tmp_path: Path) -> None:
    sets, draw = store(tmp_path / "new"), Draw()
    assert sets.have(AT) == 0
    tables = sets.complete(AT, 40, draw)
    assert sets.have(AT) == 40 and store(tmp_path / "new").have(AT) == 40
    assert set(tables) == {"features", "loss"} and len(tables) == 2
    assert torch.equal(tables["features"], ROWS) and torch.equal(tables["loss"], LOSS)
    with pytest.raises(KeyError):
        tables["other"]


def test_a_promoted_set_draws_only_what_it_lacks(tmp_path: Path) -> None:
    sets, draw = store(tmp_path), Draw()
    small = sets.complete(AT, 5, draw)
    large = sets.complete(AT, 40, draw)
    sets.complete(AT, 20, draw)
    assert draw.ranges == [range(5), range(5, 40)]
    assert torch.equal(large["features"], ROWS) and torch.equal(large["loss"], LOSS)
    assert torch.equal(small["features"], ROWS[:5])  # of the file that has 40 now
    assert torch.equal(small["loss"], LOSS)
    assert torch.equal(sets.read(AT)["features"], ROWS)


def test_tables_are_read_when_asked_for_and_nothing_is_kept(tmp_path: Path) -> None:
    sets = store(tmp_path)
    tables = sets.complete(AT, 40, Draw())
    first = tables["features"]
    first.zero_()
    assert torch.equal(tables["features"], ROWS)
    sets.path(AT).unlink()
    with pytest.raises(StorageError, match=r"cannot be read.*Fix: repeat the command"):
        tables["features"]


def test_candidates_differ_by_ten_decimals(tmp_path: Path) -> None:
    sets = store(tmp_path)
    assert sets.path((0.1 + 0.2, -0.0)) == sets.path((0.3, 0.0)) == sets.path((0.3 + 1e-12, 0.0))
    assert sets.path((0.3, 1e-9)) != sets.path((0.3, 0.0)) != sets.path((0.0, 0.3))
    assert str(rounded((0.1 + 0.2, -0.0, -1e-12))) == "(0.3, 0.0, 0.0)"


def test_another_key_has_no_sets_and_preparing_removes_them(tmp_path: Path) -> None:
    store(tmp_path).complete(AT, 5, Draw())
    other = store(tmp_path, "other")
    assert other.have(AT) == 0
    draw = Draw()
    other.complete((0.5, 0.5), 5, draw)
    store(tmp_path, "other").prepare()
    assert [path.name for path in tmp_path.iterdir()] == [other.path((0.5, 0.5)).name]
    assert other.have((0.5, 0.5)) == 5


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "half-written"])
def test_a_damaged_set_is_no_set(tmp_path: Path, damage: str) -> None:
    sets = store(tmp_path)
    sets.complete(AT, 40, Draw())
    path = sets.path(AT)
    whole = path.read_bytes()
    if damage == "half-written":
        path = path.rename(path.with_name(f".partial-{path.name}-01234567"))
    path.write_bytes({"cut": whole[:-1], "empty": b"", "garbage": b"x" * 99}.get(damage, whole))
    assert sets.have(AT) == 0
    sets.prepare()
    assert not list(tmp_path.iterdir())
    assert torch.equal(sets.complete(AT, 40, Draw())["features"], ROWS)
    assert sets.path(AT).read_bytes() == whole


def test_a_draw_that_fails_leaves_the_set_as_it_was(tmp_path: Path) -> None:
    sets = store(tmp_path)
    sets.complete(AT, 5, Draw())

    def too_few(rows: range) -> dict[str, Tensor]:
        return {"features": ROWS[rows.start : rows.stop - 1]}

    with pytest.raises(ValueError, match="features has 39 rows for 40 images"):
        sets.complete(AT, 40, too_few)
    with pytest.raises(ValueError, match="the set has the tables"):
        sets.complete(AT, 40, lambda _: {"rewards": ROWS})
    assert sets.have(AT) == 5 and torch.equal(sets.read(AT)["features"], ROWS[:5])


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    sets = store(tmp_path)
    sets.complete(AT, 5, Draw())
    with safe_open(sets.path(AT), framework="pt") as file:
        said = json.loads(file.metadata()["deme"])
    assert said == {
        "key": "key",
        "candidate": [0.25, -0.1],
        "images": 5,
        "protocol": {"seed": 1000},
    }


def test_measuring_uses_what_is_there(tmp_path: Path) -> None:
    sets, draw = store(tmp_path), Draw(with_loss=False)
    for images in (5, 40, 5):
        measured = measure(Proposal(AT, images), sets, draw, [MeanObjective()])
        assert measured.values == (ROWS[:images].double().mean().item(),)
        assert measured.seconds >= 0
    assert draw.ranges == [range(5), range(5, 40)]


def test_features_that_are_not_finite_are_infinitely_bad_and_kept(tmp_path: Path) -> None:
    class Fails(MeanObjective):
        def value(self, tables: object, row_weights: object = None) -> Tensor:
            raise AssertionError("an eigendecomposition of this would not end")

    bad = ROWS.clone()
    bad[3, 1] = math.nan
    sets = store(tmp_path)
    measured = measure(Proposal(AT, 40), sets, lambda _: {"features": bad}, [Fails()])
    assert measured.values == (math.inf,) and sets.have(AT) == 40


def test_a_proposal_must_say_how_many_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images are filled in"):
        measure(Proposal(AT), store(tmp_path), Draw(), [MeanObjective()])
