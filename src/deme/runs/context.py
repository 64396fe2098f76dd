"""What the stages of a run share: model, images, detectors; each loaded when first needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator

from ..data import ImageSource, load_images
from ..decouple import ExpertSpec, Partition, experts_of, open_pipeline
from ..decouple.projection import attach_projections
from ..denoisers import Denoiser, RoutedDenoiser
from ..denoisers.contract import PROJECTIONS
from ..errors import ConfigError, MissingExtraError, ModelError
from ..merge import StateDict, TaskVector
from ..metrics import Detector, load_detector
from .external import ExternalExperts
from .progress import Reporter
from .ray_workers import RayWorkers
from .reference import Reference
from .spec import Arm, RunSpec
from .store import RunStore
from .workers import Workers


class RunContext:
    """Everything that a stage may need, of one run.

    Args:
        spec: the configuration.
        store: the run's folder.
        reporter: where progress goes.

    """

    def __init__(self, spec: RunSpec, store: RunStore, reporter: Reporter) -> None:
        self.spec = spec
        self.store = store
        self.reporter = reporter
        runtime = spec.runtime
        self.workers = (
            Workers(self, runtime.workers)
            if runtime.ray is None
            else RayWorkers(self, runtime.workers, runtime.ray)
        )
        if spec.runtime.threads is not None:
            torch.set_num_threads(spec.runtime.threads)

    @cached_property
    def accelerator(self) -> Accelerator:
        """The process's accelerator, with the trackers that the spec names."""
        runtime = self.spec.runtime
        try:
            return Accelerator(
                mixed_precision=self.spec.decouple.mixed_precision,
                cpu=runtime.device == "cpu",
                log_with=list(runtime.report_to) or None,
                project_dir=str(self.store.path / "logs"),
            )
        except (ValueError, ImportError) as error:
            if runtime.report_to:
                names = ", ".join(runtime.report_to)
                raise MissingExtraError(f"report_to: [{names}]", names, "track") from error
            raise ConfigError(str(error)) from error

    @cached_property
    def denoiser(self) -> Denoiser:
        """The pretrained model, frozen.

        With ``block`` placement, identity projections are in it, so that experts and base have
        one layout.
        """
        denoiser = open_pipeline(self.spec.model, cache_folder=self.store.cache)
        projected = hasattr(denoiser.network, PROJECTIONS)
        if self.spec.decouple.projection == "block" and not projected:
            attach_projections(denoiser, "block")
            denoiser.network.requires_grad_(False)
        return denoiser.to(self.accelerator.device)

    @cached_property
    def teacher(self) -> Denoiser | None:
        """The frozen model of the consistency loss, in half precision where the hardware has it."""
        if self.spec.decouple.consistency == 0:
            return None
        if self.accelerator.device.type != "cuda":
            return self.denoiser
        teacher = self.denoiser.clone()
        teacher.network.to(torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
        return teacher

    @cached_property
    def source(self) -> ImageSource:
        """The images, at the model's resolution and channels."""
        source = load_images(
            self.spec.data,
            channels=self.denoiser.image_channels,
            resolution=self.spec.data.resolution or self.denoiser.resolution,
            cache_folder=self.store.cache,
            progress=not self.reporter.quiet,
        )
        self.reporter.say(f"data: {source.describe()}")
        if source.skipped:
            shown = ", ".join(source.skipped[:5])
            self.reporter.say(f"data: skipped {len(source.skipped)} broken images: {shown}")
        if source.resolution != self.denoiser.resolution:
            raise ConfigError(
                f"data.resolution {source.resolution} is not {self.denoiser.name}'s "
                f"{self.denoiser.resolution}",
                fix="leave data.resolution out",
            )
        return source

    @cached_property
    def detectors(self) -> list[Detector]:
        """The search's detector first, then those that only the table sees."""
        names = [self.spec.detector, *self.spec.evaluate.detectors]
        return [load_detector(name, self.accelerator.device) for name in dict.fromkeys(names)]

    @cached_property
    def references(self) -> dict[str, Reference]:
        """Real features and their statistics, for each detector by name."""
        return {
            detector.name: Reference(self.store, self.source, detector, self.spec)
            for detector in self.detectors
        }

    @cached_property
    def external(self) -> ExternalExperts:
        """The experts that other trainers made, their files open; see :class:`ExternalExperts`.

        Raises:
            DemeError: an expert cannot be read, or is of another architecture.

        """
        if self.spec.experts is None:
            raise ModelError("The spec names no external experts")
        steps = self.denoiser.schedule.num_timesteps
        opened = ExternalExperts(self.spec.experts, self.spec.model, steps)
        for remark in opened.remarks(self.denoiser.component):
            self.reporter.say(remark)
        return opened

    @cached_property
    def partition(self) -> Partition:
        """The timestep ranges that losses are told on.

        Where experts come from elsewhere, their ranges may overlap and leave gaps: then every
        end of one is an end here.
        """
        steps = self.denoiser.schedule.num_timesteps
        if self.spec.experts is None:
            return self.spec.decouple.partition(steps)
        ends = {end for e in self.experts for end in (e.timesteps.low, e.timesteps.high)}
        return Partition.from_boundaries(sorted(ends - {0, steps}), steps)

    @cached_property
    def experts(self) -> tuple[ExpertSpec, ...]:
        """The experts of this run, from low to high timesteps."""
        if self.spec.experts is not None:
            return tuple(expert.spec for expert in self.external.experts)
        return experts_of(self.partition)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """What stands in the table: the spec's arms, without those that there cannot be."""
        wanted = self.spec.evaluate.arms
        if "routed" not in wanted or self._owners_are_clear:
            return wanted
        self.reporter.say(
            "routed experts are left out of the table: the experts' timestep ranges overlap or "
            "leave gaps, so that not every timestep has one owner"
        )
        return tuple(arm for arm in wanted if arm != "routed")

    @property
    def _owners_are_clear(self) -> bool:
        """Whether every timestep is owned by exactly one expert."""
        return tuple(expert.timesteps for expert in self.experts) == self.partition.ranges

    @cached_property
    def base(self) -> StateDict:
        """The pretrained weights ``θ``, a copy of their own."""
        weights = {name: tensor.clone() for name, tensor in self.denoiser.weights().items()}
        return StateDict(weights, self.spec.model.path)

    @cached_property
    def base_digest(self) -> str:
        """Hash of the pretrained weights."""
        return self.base.digest()

    def expert_folder(self, expert: ExpertSpec) -> Path:
        """Where an expert's pipeline is."""
        return self.store.path / "experts" / expert.name

    @cached_property
    def expert_denoisers(self) -> tuple[Denoiser, ...]:
        """The finished experts, loaded from the run folder."""
        return tuple(self.load_pipeline(self.expert_folder(expert)) for expert in self.experts)

    def load_pipeline(self, folder: Path) -> Denoiser:
        """A pipeline of this run, on the device."""
        return open_pipeline(folder).to(self.accelerator.device)

    @cached_property
    def routed(self) -> RoutedDenoiser:
        """The ensemble before merging.

        Raises:
            ConfigError: not every timestep is owned by exactly one expert.

        """
        if not self._owners_are_clear:
            owners = ", ".join(f"{e.name} {e.timesteps}" for e in self.experts)
            raise ConfigError(
                f"The experts cannot be routed: their ranges overlap or leave gaps: {owners}",
                fix="take routed out of evaluate.arms",
            )
        return RoutedDenoiser(self.expert_denoisers, self.partition.boundaries)

    @cached_property
    def task_vectors(self) -> tuple[TaskVector, ...]:
        """``τ_i = θ_i − θ`` of the finished experts."""
        return tuple(
            TaskVector.between(self.base, StateDict(denoiser.weights(), expert.name), expert.name)
            for expert, denoiser in zip(self.experts, self.expert_denoisers, strict=True)
        )

    def external_denoiser(self, index: int) -> Denoiser:
        """An expert that another trainer made, its weights in full: ``θ + τ`` in float32.

        Raises:
            DemeError: see :meth:`ExternalExperts.weights`.

        """
        denoiser = self.denoiser.clone()
        denoiser.load_weights(self.external.weights(index, self.denoiser))
        return denoiser
