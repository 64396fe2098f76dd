"""Makes the bundled default: a small DDPM of handwritten digits and a small feature network.

    python -m deme.assets.make_digits made             # train both on one CPU thread, print checks
    python -m deme.assets.make_digits made --check     # also train the DDPM as much again, compare

Both learn from the 1 797 UCI digits that scikit-learn ships. The DDPM is small on purpose: it is
limited by its capacity, not by its training, so that more of the same training no longer helps.
It goes through the project's own training loop, with one range and no consistency.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from deme.data import DataConfig, ImageSource, disjoint_halves, load_images, pixels
from deme.decouple import TimestepRange, TimestepSampler, TrainingJob, train_expert
from deme.decouple.config import TrainingConfig
from deme.denoisers import Denoiser, load_denoiser
from deme.generate import ImageRequest, SamplerConfig, generate_images
from deme.metrics import DigitsNetwork, FeatureStatistics, FrechetReference, frechet_distance

PRETRAINING = TrainingConfig(
    steps=24_000, batch_size=256, learning_rate=6e-3, lr_scheduler="cosine", lr_warmup_steps=100
)
AGAIN = PRETRAINING.model_copy(update={"learning_rate": 4e-3})
DETECTOR_STEPS = 3_000
NOISE_SEEDS = range(1001, 1011)
SAMPLER = SamplerConfig(sampler="ddim", sampler_steps=20, sample_batch_size=128)


def make_network() -> UNet2DModel:
    """The untrained denoiser: 8 203 parameters, and four numbers to tell it the timestep."""
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(6, 6),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=3,
        add_attention=False,
        time_embedding_dim=4,
    )


def train_denoiser(start: Path, source: ImageSource, config: TrainingConfig, name: str) -> Denoiser:
    """Trains the pipeline in ``start`` on all timesteps, printing the loss."""
    pretrained = load_denoiser(start)
    total = pretrained.schedule.num_timesteps
    job = TrainingJob(
        name=name,
        pretrained=pretrained,
        source=source,
        timesteps=TimestepSampler(TimestepRange(0, total), total, p=0.0),
        config=config,
        placement="none",
        teacher=None,
        consistency=0.0,
        seed=0,
    )

    def say(step: int, values: object) -> None:
        if step % 1200 == 0:
            print(f"{name}: step {step} {values}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        accelerator = Accelerator(cpu=True)
        return train_expert(
            job, Path(folder), accelerator, checkpointing_steps=config.steps, on_progress=say
        ).denoiser


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images shifted by up to a pixel each way, each dimmed by up to a quarter."""
    count = len(images)
    shift = torch.randint(-1, 2, (count, 2), generator=generator)
    shift = shift * (torch.rand(count, 1, generator=generator) < 0.5)
    rows = 1 + shift[:, :1] + torch.arange(8)
    columns = 1 + shift[:, 1:] + torch.arange(8)
    padded = functional.pad(images.float()[:, 0], (1, 1, 1, 1))
    moved = padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved[:, None] * (0.75 + 0.25 * torch.rand(count, 1, 1, 1, generator=generator))


def train_detector(images: Tensor, labels: Tensor) -> DigitsNetwork:
    """Trains the classifier whose last hidden layer gives the features."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = DigitsNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=DETECTOR_STEPS)
    for _ in range(DETECTOR_STEPS):
        chosen = torch.randint(len(images), (128,), generator=generator)
        scores = network.classify(network(augmented(images[chosen], generator)))
        optimizer.zero_grad()
        functional.cross_entropy(scores, labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def held_out_accuracy(images: Tensor, labels: Tensor) -> float:
    """Accuracy on a fifth of the images of a classifier trained on the others."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(7))
    cut = len(images) * 4 // 5
    network = train_detector(images[order[:cut]], labels[order[:cut]])
    guesses = network.classify(network(images[order[cut:]])).argmax(1)
    return float((guesses == labels[order[cut:]]).float().mean())


def distances(denoiser: Denoiser, detector: DigitsNetwork, real: Tensor) -> list[float]:
    """The denoiser's Fréchet distance to the real images ``(N, 1, 8, 8)``, for each noise seed."""
    reference = FrechetReference(FeatureStatistics.from_features(detector(real)))
    found = []
    for seed in NOISE_SEEDS:
        images = generate_images(denoiser, ImageRequest(SAMPLER, seed, len(real)))
        features = FeatureStatistics.from_features(detector(images))
        found.append(reference.distance(features, allow_unknown=True))
    return found


def spread(name: str, values: list[float]) -> None:
    """Prints mean and deviation over the noise seeds."""
    print(f"{name}: {statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}", flush=True)


def main() -> None:
    """Makes the assets, then prints the checks."""
    formatter = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--check", action="store_true", help="train as much again and compare")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    config = DataConfig(dataset="digits")
    source = load_images(config, channels=1, resolution=8, cache_folder=output / "cache")
    everything = source.batch(range(len(source)))
    if everything.labels is None:
        raise SystemExit("scikit-learn's digits came without labels")
    accuracy = held_out_accuracy(everything.images, everything.labels)
    print(f"detector: held-out accuracy {accuracy:.4f}", flush=True)
    detector = train_detector(everything.images, everything.labels)
    save_file(detector.state_dict(), output / "digits_detector.safetensors")
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    DDPMPipeline(make_network(), scheduler).save_pretrained(output / "untrained")
    denoiser = train_denoiser(output / "untrained", source, PRETRAINING, "pretraining")
    trained = make_network()  # the loaded one names a folder of this machine in its configuration
    trained.load_state_dict(denoiser.weights())
    DDPMPipeline(trained, scheduler).save_pretrained(output / "digits_ddpm")
    first, second = (pixels(source, half) for half in disjoint_halves(len(source), 0))
    halves = [FeatureStatistics.from_features(detector(half)) for half in (first, second)]
    print(f"parameters: {denoiser.num_parameters()}")
    print(f"floor: {frechet_distance(*halves, allow_unknown=True):.2f}")
    before = distances(denoiser, detector, first)
    spread("pretrained", before)
    if arguments.check:
        more = train_denoiser(output / "digits_ddpm", source, AGAIN, "as much again")
        after = distances(more, detector, first)
        spread("trained as much again", after)
        spread("change, paired", [b - a for a, b in zip(before, after, strict=True)])


if __name__ == "__main__":
    main()
