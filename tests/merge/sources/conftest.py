"""Tiny pipelines on disk, made once: nothing here may write to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from merge.sources.tiny_models import original_state, perturb, pipeline


@dataclass(frozen=True)
class Saved:
    """A pipeline, its folder, and the same weights in one file of the original names."""

    family: str
    pipe: Any
    folder: Path
    file: Path


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Saved]:
    """``saved(family, seed=0)``; with a seed, the same model after a finetuning."""
    made: dict[tuple[str, int], Saved] = {}

    def make(family: str = "1", seed: int = 0) -> Saved:
        if (family, seed) not in made:
            pipe = pipeline(family)
            if seed:
                for name in ("unet", "text_encoder", "vae"):
                    perturb(getattr(pipe, name), seed)
            folder = tmp_path_factory.mktemp(f"sd{family}-{seed}")
            pipe.save_pretrained(folder / "pipeline")
            state = original_state(pipe, family)
            save_file({k: v.contiguous() for k, v in state.items()}, folder / "one.safetensors")
            made[family, seed] = Saved(
                family, pipe, folder / "pipeline", folder / "one.safetensors"
            )
        return made[family, seed]

    return make
