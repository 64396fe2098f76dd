"""Pixel-space ``UNet2DModel`` pipelines: DDPM and DDIM, class-conditional or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import UNet2DModel
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import DataError, ModelError
from .contract import (
    PROJECTIONS,
    PROJECTIONS_FILE,
    Conditioning,
    Denoiser,
    Placement,
    ProjectionSite,
)
from .schedule import NoiseSchedule, prediction_from_diffusers

COMPONENT = "unet"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".msgpack", ".index.json")


class UNet2DDenoiser(Denoiser):
    """A ``UNet2DModel`` with its scheduler.

    Args:
        network: the U-Net, float32.
        schedule: its noise schedule.
        scheduler_config: the pipeline's scheduler configuration.
        folder: the pipeline's folder, whose other files :meth:`save` carries over.
        name: hub id or folder name, for messages and cards.

    Raises:
        ModelError: a network that is not from a square grey or RGB image to one of its kind, or
            that is conditioned on something else than class labels.

    """

    def __init__(
        self,
        network: UNet2DModel,
        schedule: NoiseSchedule,
        scheduler_config: Mapping[str, Any],
        folder: Path,
        name: str,
    ) -> None:
        config = network.config
        _check_supported(config, name)
        self.network = cast(nn.Module, network)
        self.schedule = schedule
        self.scheduler_config = scheduler_config
        self.folder = folder
        self.name = name
        self.prediction = prediction_from_diffusers(
            scheduler_config.get("prediction_type", "epsilon")
        )
        size = config["sample_size"]
        self.resolution = size if isinstance(size, int) else size[0]
        self.image_channels = config["in_channels"]
        self.sample_shape = (self.image_channels, self.resolution, self.resolution)
        self.num_classes = config["num_class_embeds"]

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """The U-Net's output; ``conditioning`` may hold ``class_labels`` ``(B,)``."""
        return network(x_t, t, return_dict=False, **conditioning)[0]

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        """Class labels for a class-conditional model; nothing otherwise.

        Raises:
            DataError: the model needs labels and there are none, or one is out of range.

        """
        if self.num_classes is None:
            return {}
        if labels is None:
            raise DataError(
                f"{self.name} is class-conditional and the data have no labels",
                fix="name the label column with data.label_column",
            )
        if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= self.num_classes):
            raise DataError(
                f"{self.name} knows classes 0 to {self.num_classes - 1}; the data have labels "
                f"{int(labels.min())} to {int(labels.max())}",
                fix="choose the label column that the model was trained on",
            )
        return {"class_labels": labels.to(self.device)}

    def encode(self, images: Tensor) -> Tensor:
        """uint8 ``(B, C, H, W)`` to float32 in [−1, 1], same shape."""
        if images.shape[1:] != self.sample_shape:
            raise DataError(
                f"{self.name} takes images of shape {self.sample_shape}, not "
                f"{tuple(images.shape[1:])}",
                fix="leave data.resolution out: images are then made to fit the model",
            )
        return images.to(self.device, torch.float32) / 127.5 - 1

    def decode(self, x_0: Tensor) -> Tensor:
        """Float in [−1, 1] to uint8, rounded and clamped as diffusers' pipelines do."""
        return ((x_0.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        """Projection sites of a U-Net.

        ``block``: after every down block, the mid block and every up block (the paper's), on the
        running hidden state. ``foldable``: on the layer that ends each residual branch, attention
        and resampling, where a linear map over channels is absorbed exactly.
        """
        if placement == "none":
            return ()
        if placement == "block":
            return tuple(self._block_sites())
        endings = (".conv2", ".to_out.0", "downsamplers.0.conv", "upsamplers.0.conv")
        return tuple(
            ProjectionSite(name, module.weight.shape[0])
            for name, module in self.network.named_modules()
            if name.endswith(endings) and isinstance(module, nn.Conv2d | nn.Linear)
        )

    def _block_sites(self) -> list[ProjectionSite]:
        network = cast(UNet2DModel, self.network)
        widths = list(network.config["block_out_channels"])
        sites = [ProjectionSite(f"down_blocks.{i}", width) for i, width in enumerate(widths)]
        if network.mid_block is not None:
            sites.append(ProjectionSite("mid_block", widths[-1]))
        return sites + [
            ProjectionSite(f"up_blocks.{i}", width) for i, width in enumerate(reversed(widths))
        ]

    def save(self, folder: Path) -> None:
        """Writes the pretrained pipeline's own files with these weights: same config, same keys.

        Channel-wise projections that stay in the model go to a file of their own beside it.
        """
        if self.folder.resolve() != folder.resolve():
            _copy_all_but_weights(self.folder, folder)
        weights = {name: tensor.contiguous().cpu() for name, tensor in self.weights().items()}
        extra = {name: weights.pop(name) for name in list(weights) if name.startswith(PROJECTIONS)}
        (folder / COMPONENT).mkdir(parents=True, exist_ok=True)
        save_torch_state_dict(
            weights,
            folder / COMPONENT,
            filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
            max_shard_size="10GB",
        )
        if extra:
            save_file(extra, folder / PROJECTIONS_FILE)


def _check_supported(config: Mapping[str, Any], name: str) -> None:
    channels, size = config["in_channels"], config["sample_size"]
    if channels != config["out_channels"]:
        raise ModelError(
            f"{name} has {channels} input and {config['out_channels']} output "
            "channels; a network that also predicts its variance is not supported",
            fix="use a model with as many output as input channels",
        )
    if channels not in (1, 3):
        raise ModelError(
            f"{name} has {channels} channels, which are no image's", choices=["1 (grey)", "3 (RGB)"]
        )
    if size is None:
        raise ModelError(
            f"{name} does not say its sample_size", fix="set sample_size in unet/config.json"
        )
    if not isinstance(size, int) and size[0] != size[1]:
        raise ModelError(f"{name} makes images of {size[0]}×{size[1]}; only squares are supported")
    if config.get("class_embed_type") is not None:
        raise ModelError(
            f"{name} has class_embed_type {config['class_embed_type']!r}, which is not supported",
            fix="use a model with num_class_embeds, or one without classes",
        )


def _copy_all_but_weights(source: Path, target: Path) -> None:
    """Copies the index and its components' folders, and nothing else that lies beside them.

    A README or a sample image speaks of the original model; training leaves checkpoints there.
    """
    index = source / "model_index.json"
    components = [name for name in json.loads(index.read_text("utf-8")) if name[0] != "_"]
    files = [index]
    for name in components:
        files += [path for path in sorted((source / name).rglob("*")) if path.is_file()]
    for path in files:
        relative = path.relative_to(source)
        if relative.parts[0] == COMPONENT and path.name.endswith(WEIGHT_SUFFIXES):
            continue
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / relative)
