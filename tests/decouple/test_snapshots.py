"""Snapshots of averages: written while training, resumed, and turned into experts afterwards."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor

from deme.decouple import (
    DecoupleConfig,
    ExpertSnapshots,
    PowerProfile,
    TrainingJob,
    TrainingResult,
    attach_projections,
    fold_projections,
    train_expert,
)
from deme.decouple.checkpoint import list_checkpoints
from deme.decouple.power_average import decay, exponent_of
from deme.decouple.projection import fold_parameters
from deme.decouple.snapshots import TOLERANCE, SnapshotSchedule, SnapshotWriter
from deme.denoisers import Denoiser
from deme.errors import ConfigError, StorageError

MakeJob = Callable[..., TrainingJob]
Same = Callable[[Denoiser, Denoiser], bool]
STEPS = 12


class Stopped(Exception):
    """Somebody pressed control-C."""


def train(
    job: TrainingJob, folder: Path, stop_at: int | None = None, every: int = 5
) -> TrainingResult:
    def on_progress(step: int, values: Mapping[str, float]) -> None:
        if step == stop_at:
            raise Stopped

    return train_expert(
        job, folder, Accelerator(cpu=True), checkpointing_steps=every, on_progress=on_progress
    )


@pytest.fixture
def snapshot_job(make_job: MakeJob) -> MakeJob:
    """``make_job`` with four snapshots over twelve steps; other settings as given."""

    def make(placement: Any = "foldable", **config: Any) -> TrainingJob:
        settings = {
            "steps": STEPS,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "snapshots": 4,
            **config,
        }
        return dataclasses.replace(make_job(placement=placement), config=DecoupleConfig(**settings))

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with snapshots of one tensor, without a training."""
    writer = SnapshotWriter(tmp_path, SnapshotSchedule((3, 6, 9, 12), (0.05, 0.1)))
    for step in range(1, 13):
        averages = {sigma: {"w": torch.full((5,), step + sigma)} for sigma in (0.05, 0.1)}
        writer.after(step, averages)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [
        (20_000, 8, tuple(range(2500, 20_001, 2500))),
        (10, 4, (2, 5, 8, 10)),
        (3, 8, (1, 2, 3)),
        (0, 8, ()),
    ],
)
def test_steps_are_even_and_end_with_the_training(
    total: int, count: int, steps: tuple[int, ...]
) -> None:
    schedule = SnapshotSchedule.even(total, count, (0.05, 0.1))
    assert schedule.steps == steps
    assert schedule.sigmas == ((0.05, 0.1) if steps else ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"snapshot_sigmas": ()}, "at least 1 item"),
        ({"snapshot_sigmas": (0.1, 0.05)}, "must increase"),
        ({"snapshot_sigmas": (0.1, 0.1)}, "must increase"),
        ({"snapshot_sigmas": (0.1, 0.3)}, r"above 0 and at most 0\.2887"),
        ({"snapshots": -1}, "greater than or equal to 0"),
    ],
)
def test_configurations_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecoupleConfig(**values)


def test_a_configuration_without_snapshots_reads_as_it_always_did() -> None:
    plain = DecoupleConfig(snapshot_sigmas=(0.2,)).model_dump(mode="json")
    assert not [name for name in plain if "snapshot" in name]
    assert plain["projection"] == "foldable"
    kept = DecoupleConfig(snapshots=2).model_dump(mode="json")
    assert kept == {**plain, "snapshots": 2, "snapshot_sigmas": [0.05, 0.1]}
    assert DecoupleConfig(**kept) == DecoupleConfig(snapshots=2)
    assert set(DecoupleConfig().model_dump(include={"steps", "p"})) == {"steps", "p"}


def test_without_snapshots_a_training_leaves_the_same_files(
    make_job: MakeJob, snapshot_job: MakeJob, same_weights: Same, tmp_path: Path
) -> None:
    """Against a training whose configuration knows of no snapshots at all."""
    before = train(make_job(steps=STEPS), tmp_path / "before")
    off = train(snapshot_job(snapshots=0), tmp_path / "off")
    on = train(snapshot_job(), tmp_path / "on")
    assert contents(tmp_path / "before") == contents(tmp_path / "off")
    assert same_weights(before.denoiser, off.denoiser)
    assert same_weights(before.denoiser, on.denoiser)
    assert before.losses == on.losses


@pytest.mark.parametrize("placement", ["foldable", "block", "none"])
def test_snapshots_are_the_averages_of_the_trajectory(
    snapshot_job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    placement: str,
) -> None:
    import deme.decouple.training as training

    seen: list[dict[str, Tensor]] = []
    own = training._optimizer_step

    def watching(job: TrainingJob, trainee: Any, *rest: Any) -> Tensor:
        means = own(job, trainee, *rest)
        seen.append({k: v.detach().double().clone() for k, v in trainee.parameters().items()})
        return means

    monkeypatch.setattr(training, "_optimizer_step", watching)
    train(snapshot_job(placement), tmp_path)
    for step in (3, 6, 9, 12):
        for sigma in (0.05, 0.1):
            expected = seen[0]
            for t in range(2, step + 1):
                beta = decay(t, exponent_of(sigma))
                expected = {
                    name: beta * value + (1 - beta) * seen[t - 1][name]
                    for name, value in expected.items()
                }
            found = load_file(tmp_path / f"snapshots/step-{step:06d}/sigma-{sigma}.safetensors")
            assert found.keys() == expected.keys()
            for name, value in found.items():
                torch.testing.assert_close(value.double(), expected[name], rtol=0, atol=1e-6)


def test_a_shorter_training_is_a_snapshot_of_the_longer(
    snapshot_job: MakeJob, tmp_path: Path
) -> None:
    train(snapshot_job(), tmp_path / "long")
    train(snapshot_job(steps=6, snapshots=1), tmp_path / "short")
    short, long = contents(tmp_path / "short/snapshots"), contents(tmp_path / "long/snapshots")
    assert set(short) == {f"step-000006/sigma-{sigma}.safetensors" for sigma in (0.05, 0.1)}
    assert all(long[name] == content for name, content in short.items())


@pytest.mark.parametrize("placement", ["foldable", "none"])
def test_stopped_anywhere_the_snapshots_are_the_same_bits(
    snapshot_job: MakeJob, same_weights: Same, tmp_path: Path, placement: str
) -> None:
    job = snapshot_job(placement)
    whole = train(job, tmp_path / "whole")
    for stop_at in (2, 4, 7, 11):  # before the first checkpoint, between, after one, at the end
        with pytest.raises(Stopped):
            train(job, tmp_path / "stopped", stop_at)
    resumed = train(job, tmp_path / "stopped")
    assert same_weights(resumed.denoiser, whole.denoiser)
    assert contents(tmp_path / "stopped/snapshots") == contents(tmp_path / "whole/snapshots")
    assert len(contents(tmp_path / "whole/snapshots")) == 8


def test_only_the_last_checkpoint_keeps_running_averages(
    snapshot_job: MakeJob, tmp_path: Path
) -> None:
    train_expert(
        snapshot_job(),
        tmp_path,
        Accelerator(cpu=True),
        checkpointing_steps=5,
        checkpoints_total_limit=None,
    )
    found = {
        path.name: (path / "power_averages.safetensors").is_file()
        for path in list_checkpoints(tmp_path / "checkpoints")
    }
    assert found == {"step-000005": False, "step-000010": False, "step-000012": True}


def test_resuming_with_other_snapshots_is_refused(snapshot_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(snapshot_job(), tmp_path, 8)
    with pytest.raises(StorageError, match="are of a training with other snapshots"):
        train(snapshot_job(snapshot_sigmas=(0.05, 0.2)), tmp_path)
    with pytest.raises(StorageError, match=r"at step 5 and its snapshot .*step-000002 is missing"):
        train(snapshot_job(snapshots=6), tmp_path)
    assert not (tmp_path / "snapshots/step-000006").exists()  # was written after the checkpoint


def test_a_training_that_starts_anew_leaves_no_old_snapshots(
    snapshot_job: MakeJob, stored: Path
) -> None:
    job = snapshot_job(steps=2, snapshots=1)
    train(job, stored)
    assert [path.name for path in (stored / "snapshots").iterdir()] == ["step-000002"]


def test_no_space_left_leaves_no_part_of_a_snapshot(
    snapshot_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    job = snapshot_job()
    with monkeypatch.context() as patched:
        patched.setattr("deme.decouple.snapshots.save_file", full)
        with pytest.raises(StorageError, match=r"No space left while writing .*step-000003"):
            train(job, tmp_path)
    assert list((tmp_path / "snapshots").iterdir()) == []
    train(job, tmp_path)
    assert ExpertSnapshots.open(tmp_path).steps == (3, 6, 9, 12)


def test_what_there_is(stored: Path) -> None:
    found = ExpertSnapshots.open(stored)
    assert found.steps == (3, 6, 9, 12)
    assert found.sigmas == (0.05, 0.1)
    assert found.profiles == tuple(
        PowerProfile(step, sigma) for step in (3, 6, 9, 12) for sigma in (0.05, 0.1)
    )


@pytest.mark.parametrize("placement", ["foldable", "block", "none"])
def test_a_stored_average_comes_back_exactly_in_the_expert_s_layout(
    snapshot_job: MakeJob, tmp_path: Path, placement: str
) -> None:
    job = snapshot_job(placement)
    expert = train(job, tmp_path).denoiser
    snapshots = ExpertSnapshots.open(tmp_path)
    for step, sigma in ((6, 0.1), (12, 0.05)):
        twin = job.pretrained.clone()
        attach_projections(twin, job.placement)
        stored = load_file(tmp_path / f"snapshots/step-{step:06d}/sigma-{sigma}.safetensors")
        with torch.no_grad():
            for name, parameter in twin.network.named_parameters():
                parameter.copy_(stored[name])
        fold_projections(twin.network)
        found = snapshots.reconstruct(step, sigma)
        assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
            name: (value.shape, value.dtype) for name, value in expert.weights().items()
        }
        assert all(torch.equal(found[name], value) for name, value in twin.weights().items())


def test_averages_are_combined_before_they_are_folded(
    snapshot_job: MakeJob, tmp_path: Path
) -> None:
    train(snapshot_job(learning_rate=1e-2), tmp_path)
    snapshots = ExpertSnapshots.open(tmp_path)
    made = snapshots.combination(11.5, 0.07)
    unfolded: dict[str, Tensor] = {}
    folded: dict[str, Tensor] = {}
    for coefficient, item in zip(made.coefficients, snapshots.profiles, strict=True):
        folder = tmp_path / f"snapshots/step-{int(item.step):06d}"
        stored = load_file(folder / f"sigma-{item.sigma_rel}.safetensors")
        for sums, part in ((unfolded, stored), (folded, fold_parameters(stored))):
            for name, value in part.items():
                sums[name] = sums.get(name, 0) + coefficient * value.double()
    found = snapshots.reconstruct(11.5, 0.07, tolerance=math.inf)
    expected = fold_parameters({name: value.float() for name, value in unfolded.items()})
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-7)
    apart = max(float((found[name] - value).abs().max()) for name, value in folded.items())
    assert apart > 1e-6  # folding first would be another model


def test_third_averages_that_were_kept_are_found_from_two(
    snapshot_job: MakeJob, pretrained: Denoiser, tmp_path: Path
) -> None:
    """The error as a share of the task vector, on a training of a few dozen steps."""
    bounds = {0.07: 0.02, 0.15: 0.05}
    sigmas = (0.05, 0.07, 0.1, 0.15)
    train(snapshot_job(steps=24, snapshots=4, snapshot_sigmas=sigmas), tmp_path, every=100)
    everything = ExpertSnapshots.open(tmp_path)
    two = tuple(item for item in everything.profiles if item.sigma_rel not in bounds)
    some = dataclasses.replace(everything, profiles=two)
    base = pretrained.weights()
    for sigma, bound in bounds.items():
        kept, found = everything.reconstruct(24, sigma), some.reconstruct(24, sigma)
        error = sum(float((found[name] - kept[name]).norm() ** 2) for name in kept) ** 0.5
        length = sum(float((kept[name] - base[name]).norm() ** 2) for name in kept) ** 0.5
        assert length > 0.1
        assert 0 < error < bound * length


@pytest.mark.parametrize("step", [0.0, 2.9, 12.1, math.nan])
def test_steps_that_snapshots_do_not_cover(stored: Path, step: float) -> None:
    with pytest.raises(ConfigError, match=r"cannot give step .*first is of step 3, the last of 12"):
        ExpertSnapshots.open(stored).reconstruct(step, 0.1)


def test_what_cannot_be_expressed_says_how_badly(stored: Path) -> None:
    snapshots = ExpertSnapshots.open(stored)
    residual = snapshots.combination(3, 0.28).residual
    assert residual > 0.4
    with pytest.raises(ConfigError, match=rf"misses {residual:.0%} .*\(accepted: 20%\)") as caught:
        snapshots.reconstruct(3, 0.28)
    assert "go nearer to a kept step (3, 6, 9, 12) and width (0.05, 0.1)" in str(caught.value)
    assert snapshots.reconstruct(3, 0.28, tolerance=math.inf)["w"].isfinite().all()
    with pytest.raises(ConfigError, match=r"relative width 0\.5"):
        snapshots.reconstruct(12, 0.5)


def test_the_default_tolerance_covers_what_its_description_says(tmp_path: Path) -> None:
    for count in (4, 8, 16):
        schedule = SnapshotSchedule.even(16_000, count, (0.05, 0.1))
        profiles = tuple(PowerProfile(t, sigma) for t in schedule.steps for sigma in (0.05, 0.1))
        snapshots = ExpertSnapshots(tmp_path, profiles)
        for step in range(2 * 16_000 // count, 16_001, 250):
            for sigma in (0.05, 0.06, 0.08, 0.1):
                assert snapshots.combination(step, sigma).residual < TOLERANCE


def test_an_expert_without_snapshots(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no snapshots.*set decouple\.snapshots to 8"):
        ExpertSnapshots.open(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_snapshots(stored: Path, damage: str) -> None:
    snapshots = ExpertSnapshots.open(stored)
    file = stored / "snapshots/step-000006/sigma-0.1.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(StorageError, match=r"A snapshot in .*snapshots cannot be read"):
        snapshots.reconstruct(12, 0.07)
    assert snapshots.reconstruct(12, 0.1)["w"].tolist() == pytest.approx([12.1] * 5)
