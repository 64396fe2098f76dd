"""A CLIP model of random weights in the hub's layout, and a tokenizer for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WIDTH = 16
DIMENSIONS = 12
SIDE = 16
WORDS = ["a</w>", "b</w>", "ab</w>", "a", "b"]
VOCABULARY = {word: n for n, word in enumerate([*WORDS, "<|startoftext|>", "<|endoftext|>"])}
END = VOCABULARY["<|endoftext|>"]


def write_tiny_clip(folder: Path, *, tower_alone: bool = False, **preparation: Any) -> Path:
    """Writes the model (or its vision tower), its tokenizer and image settings into ``folder``."""
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

    common = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": DIMENSIONS,
    }
    config = CLIPConfig(
        text_config={
            **common,
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": 8,
            "bos_token_id": END - 1,
            "eos_token_id": END,
            "pad_token_id": END,
        },
        vision_config={**common, "image_size": SIDE, "patch_size": 8},
        projection_dim=DIMENSIONS,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = CLIPModel(config)
        for parameter in model.parameters():  # CLIP's own start is too small to tell images apart
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    if tower_alone:
        tower: Any = CLIPVisionModelWithProjection.from_pretrained(folder)
        tower.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\n", "utf-8")
    settings = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **preparation}))
    return folder
