"""Opens a data set through ``datasets``, and says what was tried where that fails.

No code of a data set is ever run: ``datasets`` has no remote code any more, and it is never asked
for.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import DataError, DemeError, StorageError, nearest
from .config import DataConfig

if TYPE_CHECKING:
    from datasets import Dataset

BUNDLED = "digits"


def open_dataset(config: DataConfig, progress: bool) -> Dataset:
    """Open the split that is configured, memory-mapped from datasets' own cache.

    Raises:
        DataError: the folder, hub id, configuration or split is missing, unreachable or unreadable.
        StorageError: no space left for datasets' cache.

    """
    import datasets
    from datasets.exceptions import DatasetsError

    where = _location(config.dataset)
    try:
        with _progress_bars(progress):
            builder = datasets.load_dataset_builder(
                where, config.config_name, revision=config.revision
            )
            builder.download_and_prepare()
    except (OSError, ValueError, NotImplementedError, DatasetsError) as error:
        raise _explain(config, where, error) from error
    try:
        return cast("Dataset", builder.as_dataset(split=cast(Any, config.split)))
    except (ValueError, AssertionError) as error:  # datasets asserts the form of a slice
        raise _wrong_split(config, list(builder.info.splits or {}), error) from error


@contextlib.contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """Silences datasets' own bars for the time of the block, unless ``shown``."""
    import datasets

    silence = not shown and not datasets.are_progress_bars_disabled()
    if silence:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if silence:
            datasets.enable_progress_bars()


def _location(dataset: str) -> str:
    path = Path(dataset).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if path.is_file():
        raise DataError(
            f"{dataset} is a file, not a data set",
            fix=f"give its folder instead: data.dataset={path.parent}",
        )
    if dataset.startswith((".", "/", "~")) or dataset.count("/") > 1 or "\\" in dataset:
        raise DataError(
            f"There is no folder {dataset} (looked for {path.absolute()})",
            fix="correct data.dataset: a folder that exists, a hub id such as uoft-cs/cifar10, "
            f"or {BUNDLED}",
        )
    return dataset


def _explain(config: DataConfig, where: str, error: Exception) -> DemeError:
    from datasets.exceptions import DataFilesNotFoundError

    if _is_full(error):
        return StorageError(
            "No space left for datasets' cache while reading " + config.dataset,
            fix="free space, or set HF_HOME to a folder on a larger disk",
        )
    local = Path(where).is_dir()
    if local and isinstance(error, DataFilesNotFoundError | FileNotFoundError):
        return DataError(
            f"The folder {config.dataset} holds no images and no parquet files",
            fix="give a folder of images (in class sub-folders, if there are classes) or a folder "
            "in a hub's layout",
        )
    if "BuilderConfig" in str(error) or "Config name is missing" in str(error):
        return _wrong_config(config, where)
    reason = f"{type(error).__name__}: {_first_line(error)}"
    if local:
        return DataError(
            f"{config.dataset} cannot be read: {reason}",
            fix="repair or remove the file that it names",
        )
    return _unreachable(config, reason)


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _wrong_split(config: DataConfig, splits: list[str], error: Exception) -> DataError:
    if "no data" in str(error):
        return DataError(
            f"The split {config.split!r} of {config.dataset} is empty",
            choices=splits,
            fix="set data.split to one that holds at least 2 images",
        )
    return DataError(
        f"{config.dataset} has no split {config.split!r}",
        choices=splits,
        given=config.split,
        fix="set data.split to one of them, or to a slice of it such as train[:10%]",
    )


def _wrong_config(config: DataConfig, where: str) -> DataError:
    import datasets

    given = config.config_name
    what = f"{config.dataset} has several configurations and none was chosen"
    if given is not None:
        what = f"{config.dataset} has no configuration {given!r}"
    return DataError(
        what,
        choices=datasets.get_dataset_config_names(where, revision=config.revision),
        given=given,
        fix="set data.config_name to one of them",
    )


def _unreachable(config: DataConfig, reason: str) -> DataError:
    from datasets.config import HF_ENDPOINT

    revision = f" at revision {config.revision}" if config.revision else ""
    near = f" Did you mean {BUNDLED!r}?" if nearest(config.dataset, [BUNDLED]) else ""
    return DataError(
        f"The data set {config.dataset!r} cannot be had.{near} Tried: the folder "
        f"{Path(config.dataset).absolute()} (does not exist), the hub at "
        f"{HF_ENDPOINT}{revision} and what was downloaded before ({reason})",
        fix="check the name, the network and the login (`hf auth login`) for a private set; "
        "without a network give a local folder",
    )


def _first_line(error: Exception) -> str:
    """Return the innermost cause's first line: datasets wraps the error that says something."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    lines = str(inner).strip().splitlines()
    return lines[0] if lines else type(inner).__name__
