import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, ModelError
from deme.search.objectives import RewardColumn, load_reward

IMAGES = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(torch.uint8)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_function_in_the_working_folder_makes_a_column(working_folder: Path) -> None:
    (working_folder / "rewards_here.py").write_text(
        "def brightness(images):\n    return images.float().mean((1, 2, 3)).double()\n"
    )
    column = load_reward("rewards_here:brightness")(IMAGES)
    assert column.dtype == torch.float32 and column.shape == (2, 1)
    torch.testing.assert_close(column[:, 0], IMAGES.float().mean((1, 2, 3)))


@pytest.mark.parametrize("spec", ["", "rewards", "rewards:", ":name"])
def test_what_names_no_function_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"does not name a function.*module:function"):
        load_reward(spec)


def test_what_cannot_be_imported_is_explained(working_folder: Path) -> None:
    (working_folder / "rewards_sad.py").write_text("import not_installed_here\n")
    (working_folder / "rewards_bad.py").write_text("1 / 0\n")
    (working_folder / "rewards_ok.py").write_text("limit = 3\ndef sharpness(images): ...\n")
    with pytest.raises(ConfigError, match=r"no module 'rewards_nowhere'.*folder that holds it"):
        load_reward("rewards_nowhere:sharpness")
    with pytest.raises(ConfigError, match="rewards_sad needs the module 'not_installed_here'"):
        load_reward("rewards_sad:sharpness")
    with pytest.raises(ConfigError, match=r"rewards_bad fails to load \(ZeroDivisionError"):
        load_reward("rewards_bad:sharpness")
    with pytest.raises(ConfigError, match=r"sharpnes does not exist.*Did you mean 'sharpness'"):
        load_reward("rewards_ok:sharpnes")
    with pytest.raises(ConfigError, match="limit is not callable in rewards_ok"):
        load_reward("rewards_ok:limit")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.zeros(3), r"returned \(3,\) for 2 images, not \(B,\)"),
        (torch.zeros(1, 2, 1), r"returned \(1, 2, 1\)"),
        ([0.0, 1.0], "returned list"),
        (torch.tensor([0.0, torch.nan]), "not finite for 1 of 2 images"),
    ],
)
def test_what_is_no_reward_is_named(returned: object, message: str) -> None:
    def reward(images: Tensor) -> Tensor:
        return returned  # pyright: ignore[reportReturnType]

    with pytest.raises(ModelError, match=message):
        RewardColumn(reward, "mine:reward")(IMAGES)


def test_no_gradients_are_kept() -> None:
    weight = torch.ones(1, requires_grad=True)

    def reward(images: Tensor) -> Tensor:
        return images.float().mean((1, 2, 3), keepdim=True).flatten(1) * weight

    assert not RewardColumn(reward, "mine:reward")(IMAGES).requires_grad
