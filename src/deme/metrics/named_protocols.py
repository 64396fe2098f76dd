"""Published evaluation protocols by name: data, detector, metrics, counts, sampler, prompts.

A number is a protocol's where all of it is kept; see :meth:`NamedProtocol.differences`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigError

ProtocolName = Literal[
    "cifar10-50k",
    "church-50k",
    "bedroom-50k",
    "coco-30k",
    "imagenet-2x1000",
    "partiprompts",
]
DETECTOR_COPIES = {"inception": ("inception", "inception-fidelity")}
"""Detectors that are the same published network in another file."""


@dataclass(frozen=True)
class PromptSource:
    """The prompts of a text-to-image protocol.

    Attributes:
        dataset: a hub id, or None: there is none, and a file must be given.
        column: the column of prompts, where there are columns.
        file: what a local file of them is, in words.
        count: how many prompts.
        images_each: images for each prompt.

    """

    dataset: str | None
    column: str
    file: str
    count: int
    images_each: int = 1


@dataclass(frozen=True)
class NamedProtocol:
    """A published way to make a number.

    Attributes:
        name: its name in configurations.
        title: in a line, for lists.
        dataset: hub id of the real images; None: they are on no hub, and a folder must be given.
        data: what the real images are, in words.
        split: of the data set.
        resolution: height and width in pixels at which images are compared.
        detector: what makes features; None: nothing is compared with real images.
        metrics: which numbers.
        images: how many are generated.
        sampler: the sampler.
        sampler_steps: its steps.
        prompts: where images are made from text.
        drawn_at: height and width in pixels at which images are drawn, where that is another.
        text_detector: the CLIP model of the CLIP score.

    """

    name: str
    title: str
    dataset: str | None
    data: str
    split: str
    resolution: int
    detector: str | None
    metrics: tuple[str, ...]
    images: int
    sampler: str = "ddim"
    sampler_steps: int = 50
    prompts: PromptSource | None = None
    drawn_at: int | None = None
    text_detector: str | None = None

    @property
    def missing(self) -> str | None:
        """What deme lacks to carry it out; None: nothing."""
        if self.prompts is None:
            return None
        return "text-to-image models (Stable Diffusion's family) cannot be opened yet"

    def evaluation_fields(self) -> dict[str, Any]:
        """What it fixes of a run's ``evaluate`` section."""
        return {
            "metrics": self.metrics,
            "images": self.images,
            "sampler": self.sampler,
            "sampler_steps": self.sampler_steps,
            "eta": 0.0,
            "reference": "all",
        }

    def data_fields(self) -> dict[str, Any]:
        """What it fixes of a run's ``data`` section."""
        fields: dict[str, Any] = {"split": self.split, "resolution": self.resolution}
        return fields if self.dataset is None else {"dataset": self.dataset, **fields}

    def differences(self, fixed: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
        """How given fields contradict fixed ones, a line each.

        More metrics than the protocol's are no contradiction; nor is a folder in place of a hub id:
        the hash of the real images in each number's protocol tells whether it is a copy.
        """
        lines = []
        for name, wanted in fixed.items():
            if name not in given or _agrees(name, wanted, given[name]):
                continue
            shown = ", ".join(wanted) if isinstance(wanted, tuple) else wanted
            lines.append(f"{name} is {_shown(given[name])} and not {shown}")
        return lines

    def describe(self) -> str:
        """What it is, in a few lines."""
        lines = [f"{self.title}."]
        if self.detector is not None:
            size = f"{self.resolution} pixels"
            at = f"{size}, drawn at {self.drawn_at}" if self.drawn_at else size
            where = "" if self.dataset is None else f" ({self.dataset}, split {self.split})"
            lines.append(f"real images: {self.data}{where}, at {at}; detector: {self.detector}")
        lines.append(
            f"{self.images} images, {self.sampler} {self.sampler_steps} steps; metrics: "
            f"{', '.join(self.metrics)}"
            + (f" (CLIP score with {self.text_detector})" if self.text_detector else "")
        )
        if self.prompts is not None:
            each = self.prompts.images_each
            lines.append(
                f"prompts: {self.prompts.count} of {self.prompts.file}, {each} "
                f"image{'s' if each > 1 else ''} each"
            )
        if self.missing is not None:
            lines.append(f"not to be run yet: {self.missing}")
        return "\n".join(lines)


def _agrees(name: str, wanted: Any, given: Any) -> bool:
    if name == "metrics":
        names = [given] if isinstance(given, str) else list(given)
        return set(wanted) <= {"frechet" if metric == "fid" else metric for metric in names}
    if name == "detector":
        return given in DETECTOR_COPIES.get(wanted, (wanted,))
    if name == "dataset":
        return given == wanted or str(given).startswith((".", "/", "~"))
    if name == "resolution" and given is None:
        return True  # the model's own, which the data are then made to fit
    return given == wanted


def _shown(given: Any) -> str:
    return ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


def _lsun(name: str, category: str, title: str) -> NamedProtocol:
    return NamedProtocol(
        name=name,
        title=f"LSUN-{title} at 256²: FID of 50 000 images against the training set",
        dataset=None,
        data=f"LSUN's {category}, the training split, as a folder of images",
        split="train",
        resolution=256,
        detector="inception",
        metrics=("frechet",),
        images=50_000,
    )


_PROTOCOLS = (
    NamedProtocol(
        name="cifar10-50k",
        title="CIFAR-10 at 32²: FID of 50 000 images against the training set",
        dataset="uoft-cs/cifar10",
        data="CIFAR-10's training images",
        split="train",
        resolution=32,
        detector="inception",
        metrics=("frechet",),
        images=50_000,
    ),
    _lsun("church-50k", "church_outdoor", "Church"),
    _lsun("bedroom-50k", "bedroom", "Bedroom"),
    NamedProtocol(
        name="coco-30k",
        title="COCO zero-shot: FID and CLIP score of 30 000 captions",
        dataset=None,
        data="COCO 2014's whole validation set, as a folder of images",
        split="validation",
        resolution=256,
        detector="inception",
        metrics=("frechet", "clip_score"),
        images=30_000,
        sampler="pndm",
        prompts=PromptSource(None, "caption", "COCO's captions_val2014.json", 30_000),
        drawn_at=512,
        text_detector="clip-g14",
    ),
    NamedProtocol(
        name="imagenet-2x1000",
        title="ImageNet zero-shot: FID and CLIP score, two images for each class name",
        dataset=None,
        data="ImageNet-1K's validation set, as a folder of images",
        split="validation",
        resolution=256,
        detector="inception",
        metrics=("frechet", "clip_score"),
        images=2000,
        sampler="pndm",
        prompts=PromptSource(None, "", "a JSON list of the 1 000 class names", 1000, 2),
        drawn_at=512,
        text_detector="clip-g14",
    ),
    NamedProtocol(
        name="partiprompts",
        title="PartiPrompts: CLIP score of one image for each of 1 632 prompts",
        dataset=None,
        data="none",
        split="",
        resolution=512,
        detector=None,
        metrics=("clip_score",),
        images=1632,
        sampler="pndm",
        prompts=PromptSource("nateraw/parti-prompts", "Prompt", "PartiPrompts.tsv", 1632),
        text_detector="clip-g14",
    ),
)
NAMED_PROTOCOLS: dict[str, NamedProtocol] = {protocol.name: protocol for protocol in _PROTOCOLS}
"""Every named protocol."""


def protocol_named(name: str) -> NamedProtocol:
    """Find the protocol of that name.

    Raises:
        ConfigError: none has it; lists the names and the nearest.

    """
    if name not in NAMED_PROTOCOLS:
        raise ConfigError(f"There is no protocol {name!r}", choices=NAMED_PROTOCOLS, given=name)
    return NAMED_PROTOCOLS[name]
