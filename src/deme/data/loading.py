"""From the configuration to an :class:`ImageSource`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import hash_value
from .cache import CachedPixels, read_cache, write_cache
from .config import DataConfig
from .decoder import Decoder, require_two
from .decoding import MODES
from .labels import Labels
from .memory import MemorySource, RaggedStore, SquareStore
from .preparation import Augmentation, Preparation
from .records import open_records
from .room import fits_memory
from .source import ImageSource
from .stream import StreamSource

_FORMAT = 1


def load_images(
    config: DataConfig,
    *,
    channels: int,
    resolution: int,
    cache_folder: Path,
    progress: bool = True,
) -> ImageSource:
    """Open a data set; decode it once into a cache where it fits memory, else stream it.

    With ``center_crop: false`` the cache keeps each image at its resized size, uncropped.

    Args:
        config: what to load. Its ``resolution`` is not read: the caller has resolved it.
        channels: what the model wants: 1 (grey) or 3 (RGB).
        resolution: height and width that the model wants, in pixels.
        cache_folder: where the caches of decoded images are.
        progress: show a bar while preparing and decoding.

    Raises:
        DataError: the data set cannot be found, read or used, holds fewer than two images, or,
            with ``strict``, holds a broken one.
        StorageError: no space left, or no permission to write the cache.

    """
    _check_wanted(channels, resolution)
    records = open_records(config, progress)
    require_two(len(records), records.name)
    preparation = Preparation(
        channels, resolution, config.interpolation, config.background, config.center_crop
    )
    decoder = Decoder(records, preparation, config.strict)
    augmentation = Augmentation(config.random_flip, not config.center_crop)
    decides = _what_decides_pixels(config, preparation, records.fingerprint)
    cached = None
    if config.cache != "stream":
        key = hash_value(decides)
        cached = read_cache(cache_folder, key)
        if cached is None and _may_cache(config, decoder):
            cached = write_cache(cache_folder, key, decoder, progress)
    if cached is None:
        return StreamSource(decoder, decides, augmentation)
    return _from_cache(cached, decoder, augmentation)


def _check_wanted(channels: int, resolution: int) -> None:
    if channels not in MODES:
        raise DataError(
            f"Images of {channels} channels cannot be made for the model",
            choices=[f"{count} ({mode})" for count, mode in MODES.items()],
            fix="use a model of grey or RGB images",
        )
    if resolution < 1:
        raise DataError(f"A resolution of {resolution} is not possible", fix="choose 1 or more")


def _what_decides_pixels(
    config: DataConfig, preparation: Preparation, fingerprint: str
) -> dict[str, Any]:
    import PIL

    return {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "max_images": config.max_images,
        "channels": preparation.channels,
        "resolution": preparation.resolution,
        "interpolation": preparation.interpolation,
        "background": preparation.background,
        "crop": preparation.crop,
        "pillow": PIL.__version__,
    }


def _may_cache(config: DataConfig, decoder: Decoder) -> bool:
    if config.cache == "memory":
        return True
    return fits_memory(len(decoder.records) * decoder.mean_bytes(), config.cache_limit_gb)


def _from_cache(cached: CachedPixels, decoder: Decoder, augmentation: Augmentation) -> MemorySource:
    records, preparation = decoder.records, decoder.preparation
    if decoder.strict and cached.skipped:
        raise decoder.broken_error(cached.skipped[0])
    if cached.sizes is None:
        store = SquareStore(cached.pixels)
    else:
        store = RaggedStore(
            cached.pixels, cached.sizes, preparation.channels, preparation.resolution
        )
    labels = records.labels
    if labels is not None:
        labels = Labels(labels.values[cached.kept], labels.count, labels.names)
    return MemorySource(
        store,
        hash_value([cached.sha256, cached.sizes]),
        name=records.name,
        labels=labels,
        captions=records.captions(cached.kept),
        skipped=[broken.name for broken in cached.skipped],
        augmentation=augmentation,
        residence="cached",
    )
