"""Stopped anywhere and started again equals never stopped, bit for bit; checkpoints on disk."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from accelerate import Accelerator

from deme.data import ImageSource
from deme.decouple import TrainingJob, TrainingResult, train_expert
from deme.decouple.checkpoint import list_checkpoints, load_latest
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import StorageError

MakeJob = Callable[..., TrainingJob]
Same = Callable[[Denoiser, Denoiser], bool]
EVERY = 3


class Stopped(Exception):
    """Somebody pressed control-C."""


def train(
    job: TrainingJob,
    folder: Path,
    stop_at: int | None = None,
    every: int = EVERY,
    limit: int | None = 1,
) -> TrainingResult:
    def on_progress(step: int, values: Mapping[str, float]) -> None:
        assert values["step"] == step
        if step == stop_at:
            raise Stopped

    return train_expert(
        job,
        folder,
        Accelerator(cpu=True),
        checkpointing_steps=every,
        checkpoints_total_limit=limit,
        on_progress=on_progress,
    )


def names(folder: Path) -> list[str]:
    return [path.name for path in list_checkpoints(folder / "checkpoints")]


@pytest.mark.parametrize("settings", [
    {},
    {"placement": "block"},
    {"placement": "none", "consistency": 0.0, "use_ema": False, "lr_scheduler": "cosine"},
    {"gradient_accumulation_steps": 2, "batch_size": 3, "lr_scheduler": "linear"},
], ids=["foldable", "block", "plain", "accumulation"])  # fmt: skip
def test_stopped_at_several_steps_equals_uninterrupted(
    make_job: MakeJob, same_weights: Same, tmp_path: Path, settings: dict[str, Any]
) -> None:
    job = make_job(steps=8, **settings)
    whole = train(job, tmp_path / "whole")
    for stop_at in (2, 3, 5, 8):  # before the first checkpoint, at one, between, at the end
        with pytest.raises(Stopped):
            train(job, tmp_path / "stopped", stop_at)
    resumed = train(job, tmp_path / "stopped")
    assert same_weights(resumed.denoiser, whole.denoiser)
    assert resumed.losses == whole.losses
    assert [point["step"] for point in whole.losses] == list(range(1, 9))


def test_the_curve_of_means_has_the_same_points(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deme.decouple.training.LOSSES_KEPT", 4)
    job = make_job(steps=11)
    whole = train(job, tmp_path / "whole").losses
    assert [point["step"] for point in whole] == [2, 3, 4, 6, 8, 9, 10, 11]
    for stop_at in (4, 8):
        with pytest.raises(Stopped):
            train(job, tmp_path / "stopped", stop_at)
    assert train(job, tmp_path / "stopped").losses == whole
    monkeypatch.setattr("deme.decouple.training.LOSSES_KEPT", 11)
    single = train(job, tmp_path / "single").losses
    mean = (single[0]["loss"] + single[1]["loss"]) / 2
    assert whole[0]["loss"] == pytest.approx(mean, rel=1e-6)


def test_dropout_resumes_too(
    make_job: MakeJob,
    same_weights: Same,
    tiny_pipeline: Callable[..., Path],
    tmp_path: Path,
) -> None:
    base = load_denoiser(tiny_pipeline("dropout", dropout=0.5))
    job = make_job(base, steps=5)
    torch.manual_seed(1)
    whole = train(job, tmp_path / "whole")
    torch.manual_seed(2)
    with pytest.raises(Stopped):
        train(job, tmp_path / "stopped", 4)
    assert same_weights(train(job, tmp_path / "stopped").denoiser, whole.denoiser)
    without = train(make_job(steps=5), tmp_path / "without")
    assert without.losses != whole.losses


def test_images_and_flips_are_drawn_by_step(
    make_job: MakeJob,
    same_weights: Same,
    tiny_source: Callable[..., ImageSource],
    tmp_path: Path,
) -> None:
    from deme.data import MemorySource

    images = tiny_source().batch(range(10)).images  # more steps than an epoch has
    job = make_job(source=MemorySource.from_images(images, random_flip=True), steps=8)
    whole = train(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(job, tmp_path / "stopped", 5)
    assert same_weights(train(job, tmp_path / "stopped").denoiser, whole.denoiser)


def test_only_the_last_keeps_the_optimizer(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(steps=8), tmp_path, limit=None)
    assert names(tmp_path) == ["step-000003", "step-000006", "step-000008"]
    found = [
        path.name
        for path in list_checkpoints(tmp_path / "checkpoints")
        if (path / "optimizer.safetensors").is_file()
    ]
    assert found == ["step-000008"]


@pytest.mark.parametrize(("limit", "kept"), [(1, 1), (2, 2), (None, 4)])
def test_how_many_stay(make_job: MakeJob, tmp_path: Path, limit: int | None, kept: int) -> None:
    train(make_job(steps=4), tmp_path, every=1, limit=limit)
    assert names(tmp_path) == ["step-000001", "step-000002", "step-000003", "step-000004"][-kept:]


def test_order_is_by_number(tmp_path: Path) -> None:
    for name in (
        "step-1000000",
        "step-999999",
        "step-000002",
        ".partial-step-2000000-ab",
        "step-x",
    ):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000002",
        "step-999999",
        "step-1000000",
    ]
    assert list_checkpoints(tmp_path / "none") == []
    assert load_latest(tmp_path / "none") is None


def test_a_half_written_folder_is_ignored(
    make_job: MakeJob, same_weights: Same, tmp_path: Path
) -> None:
    job = make_job(steps=5)
    whole = train(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(job, tmp_path / "stopped", 4)
    partial = tmp_path / "stopped/checkpoints/.partial-step-000004-0badf00d"
    partial.mkdir()
    (partial / "network.safetensors").write_bytes(b"half")
    assert same_weights(train(job, tmp_path / "stopped").denoiser, whole.denoiser)


FILES = ("network.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_checkpoints(make_job: MakeJob, tmp_path: Path, name: str, damage: str) -> None:
    job = make_job(steps=5)
    with pytest.raises(Stopped):
        train(job, tmp_path, 4)
    checkpoints = tmp_path / "checkpoints"
    file = checkpoints / "step-000003" / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.write_bytes(b"{}" if name == "state.json" else content[:-1] + b"x")
    with pytest.raises(StorageError) as caught:
        train(job, tmp_path)
    message = str(caught.value)
    assert f"The checkpoint {checkpoints / 'step-000003'} is" in message
    assert name in message
    assert message.endswith(
        f"Fix: delete {checkpoints} and repeat the command: this training starts anew, all else "
        "is kept."
    )


def test_checkpoints_of_another_training(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(steps=3), tmp_path)
    with pytest.raises(StorageError, match="are of another network"):
        train(make_job(steps=3, placement="block"), tmp_path)
    with pytest.raises(StorageError, match="a longer training: step 3 of now 2"):
        train(make_job(steps=2), tmp_path)


def test_no_space_left(
    make_job: MakeJob, same_weights: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(steps=8)
    whole = train(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(job, tmp_path / "full", 5)

    def full(*args: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("deme.decouple.checkpoint.save_file", full)
        with pytest.raises(StorageError, match=r"No space left while writing .*step-000006"):
            train(job, tmp_path / "full")
    assert names(tmp_path / "full") == ["step-000003"]
    assert not list((tmp_path / "full" / "checkpoints").glob(".partial*"))
    assert same_weights(train(job, tmp_path / "full").denoiser, whole.denoiser)


def test_a_checkpoint_says_its_step_and_holds_no_pickle(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(steps=3), tmp_path)
    folder = tmp_path / "checkpoints" / "step-000003"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    state = json.loads((folder / "state.json").read_text())
    assert state["step"] == 3
    assert len(state["losses"]) == 3
    checkpoint = load_latest(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.network.keys() == checkpoint.ema.keys()
