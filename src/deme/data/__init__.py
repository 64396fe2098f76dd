"""What a model learns from: images, labels and captions, as batches.

In the order in which an image meets them:

- ``config``: :class:`DataConfig`, what the user writes.
- ``opening``, ``columns``, ``labels``, ``records``: find the data set and its columns; encoded
  images by position.
- ``decoding``, ``preparation``: any kind of picture to 8-bit grey or RGB; resize, crop, flip.
- ``decoder``, ``cache``, ``room``: decode in threads, skip what is broken, keep the result where
  there is room.
- ``source``: the contract, :class:`ImageSource` and :class:`Batch`.
- ``memory``, ``stream``: its two kinds.
- ``loading``: :func:`load_images` puts them together.

>>> source = load_images(DataConfig(dataset="digits"), channels=1, resolution=8,
...                      cache_folder=Path("cache"))          # doctest: +SKIP
>>> source.batch([0, 1, 2]).images.shape                      # doctest: +SKIP
torch.Size([3, 1, 8, 8])
"""

from .config import DataConfig
from .loading import load_images
from .memory import MemorySource
from .source import Batch, ImageSource, disjoint_halves, pixels
from .stream import StreamSource

__all__ = [
    "Batch",
    "DataConfig",
    "ImageSource",
    "MemorySource",
    "StreamSource",
    "disjoint_halves",
    "load_images",
    "pixels",
]
