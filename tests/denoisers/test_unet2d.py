"""A UNet2DModel as a denoiser: inputs, weights, copies, saving."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file, save_file

from deme.denoisers import Denoiser, load_denoiser
from deme.errors import DataError, MismatchError

Write = Callable[..., Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def changed(denoiser: Denoiser) -> dict[str, torch.Tensor]:
    return {name: tensor + 0.01 for name, tensor in denoiser.weights().items()}


def test_encode_and_decode_are_inverse_for_every_level(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    levels = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    x_0 = denoiser.encode(levels)
    assert x_0.dtype == torch.float32
    assert (x_0.min(), x_0.max()) == (-1, 1)
    assert torch.equal(denoiser.decode(x_0), levels)
    beyond = torch.tensor([-3.0, 3.0]).expand(1, 1, 8, 2)
    assert denoiser.decode(beyond).unique().tolist() == [0, 255]


def test_decode_equals_diffusers(tiny_pipeline: Write) -> None:
    """The two steps of DDPMPipeline and of its numpy_to_pil."""
    denoiser = load_denoiser(tiny_pipeline())
    x_0 = torch.randn((16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    image = (x_0 / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    expected = (image * 255).round().astype("uint8")
    assert np.array_equal(denoiser.decode(x_0).permute(0, 2, 3, 1).numpy(), expected)


def test_images_of_another_shape_are_refused(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    with pytest.raises(DataError, match=r"takes images of shape \(1, 8, 8\), not \(3, 8, 8\)"):
        denoiser.encode(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_classes_reach_the_network(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline(num_class_embeds=3))
    assert denoiser.num_classes == 3
    x_t, t = torch.zeros(2, 1, 8, 8), torch.tensor([5, 5])
    output = denoiser.predict(x_t, t, denoiser.condition(labels=torch.tensor([0, 2])))
    assert not torch.allclose(output[0], output[1])


def test_labels_that_are_missing_or_out_of_range(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline(num_class_embeds=3)
    denoiser = load_denoiser(folder)
    with pytest.raises(DataError) as caught:
        denoiser.condition()
    assert str(caught.value) == (
        f"{folder} is class-conditional and the data have no labels. "
        "Fix: name the label column with data.label_column."
    )
    with pytest.raises(DataError, match="knows classes 0 to 2; the data have labels 1 to 3"):
        denoiser.condition(labels=torch.tensor([1, 3]))


def test_labels_are_nothing_to_a_model_without_classes(tiny_pipeline: Write) -> None:
    assert load_denoiser(tiny_pipeline()).condition(labels=torch.tensor([0])) == {}


def test_loading_weights_is_in_place_and_exact(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    wanted = changed(denoiser)
    places = {name: tensor.data_ptr() for name, tensor in denoiser.weights().items()}
    denoiser.load_weights(wanted)
    for name, tensor in denoiser.weights().items():
        assert torch.equal(tensor, wanted[name])
        assert tensor.data_ptr() == places[name]


def test_loading_weights_is_all_or_nothing(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    denoiser = load_denoiser(folder)
    before = {name: tensor.clone() for name, tensor in denoiser.weights().items()}
    wrong = changed(denoiser)
    last = list(wrong)[-1]
    wrong["conv_in.weight"] = torch.zeros(8, 3, 3, 3)
    wrong["extra"] = torch.zeros(1)
    del wrong[last]
    with pytest.raises(MismatchError) as caught:
        denoiser.load_weights(wrong)
    assert str(caught.value) == (
        f"These weights do not fit {folder}: missing {last}; unexpected extra; conv_in.weight is "
        "(8, 3, 3, 3), not (8, 1, 3, 3). "
        "Fix: use weights of the same architecture as the pretrained model."
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in denoiser.weights().items())
    with pytest.raises(MismatchError, match=r"and \d+ more"):
        denoiser.load_weights({})


def test_a_clone_has_a_network_of_its_own(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    before = {name: tensor.clone() for name, tensor in denoiser.weights().items()}
    twin = denoiser.clone()
    twin.load_weights(changed(twin))
    assert all(torch.equal(before[name], tensor) for name, tensor in denoiser.weights().items())
    assert twin.num_parameters() == denoiser.num_parameters()


def test_moving_takes_the_schedule_along(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    twin = denoiser.clone().to("meta")
    assert twin.device.type == twin.schedule.sigma.device.type == "meta"
    assert denoiser.device.type == denoiser.schedule.sigma.device.type == "cpu"


@pytest.mark.parametrize("source", ["DDPMScheduler", "DDIMScheduler"])
def test_saved_is_the_stock_pipeline_with_other_weights(
    tiny_pipeline: Write, tmp_path: Path, source: str
) -> None:
    folder = tiny_pipeline(scheduler=source, num_class_embeds=2)
    denoiser = load_denoiser(folder)
    denoiser.load_weights(changed(denoiser))
    denoiser.save(tmp_path / "saved")
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        assert filecmp.cmp(folder / name, tmp_path / "saved" / name, shallow=False)
    stock, saved = load_file(folder / WEIGHTS), load_file(tmp_path / "saved" / WEIGHTS)
    assert {k: (v.shape, v.dtype) for k, v in stock.items()} == {
        k: (v.shape, v.dtype) for k, v in saved.items()
    }
    assert all(torch.equal(saved[name], tensor) for name, tensor in denoiser.weights().items())
    again = load_denoiser(tmp_path / "saved").weights()
    assert all(torch.equal(again[name], saved[name]) for name in saved)


def test_saved_loads_with_plain_diffusers_and_predicts_the_same(
    tiny_pipeline: Write, tmp_path: Path
) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    denoiser.load_weights(changed(denoiser))
    denoiser.save(tmp_path / "saved")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "saved")
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    with torch.no_grad():
        expected = pipeline.unet(x_t, t).sample
    assert torch.allclose(denoiser.predict(x_t, t, {}), expected, atol=1e-6)


def test_saving_twice_gives_the_same_bytes_and_leaves_the_original(
    tiny_pipeline: Write, tmp_path: Path
) -> None:
    folder = tiny_pipeline()
    original = (folder / WEIGHTS).read_bytes()
    denoiser = load_denoiser(folder)
    denoiser.load_weights(changed(denoiser))
    for name in ("first", "second"):
        denoiser.save(tmp_path / name)
    assert filecmp.cmp(tmp_path / "first" / WEIGHTS, tmp_path / "second" / WEIGHTS, shallow=False)
    assert (folder / WEIGHTS).read_bytes() == original


def test_what_lies_beside_the_pipeline_is_not_copied(tiny_pipeline: Write, tmp_path: Path) -> None:
    """diffusers' trainers leave checkpoints and logs in the pipeline's own folder."""
    folder = tiny_pipeline()
    (folder / "README.md").write_text("of the original")
    (folder / "checkpoint-500/unet").mkdir(parents=True)
    (folder / "checkpoint-500/unet/model.safetensors").write_bytes(b"large")
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"other weights")
    save_file({"x": torch.zeros(1)}, folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    target = folder / "runs" / "merged"  # inside: a copy of all would never end
    load_denoiser(folder).save(target)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        WEIGHTS,
    ]


def test_saving_over_the_original_replaces_its_weights(tiny_pipeline: Write) -> None:
    folder = tiny_pipeline()
    denoiser = load_denoiser(folder)
    wanted = changed(denoiser)
    denoiser.load_weights(wanted)
    denoiser.save(folder)
    again = load_denoiser(folder).weights()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)
