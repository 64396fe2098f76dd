"""The bundled default: a small pretrained digits pipeline and its feature network.

``make_digits.py`` beside this file made both, from scikit-learn's copy of the UCI digits.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
DIGITS_PIPELINE = FOLDER / "digits_ddpm"
"""A ``DDPMPipeline`` of 8×8 digits in diffusers' folder layout."""
DIGITS_DETECTOR = FOLDER / "digits_detector.safetensors"
"""Weights of the feature network :class:`deme.metrics.digits.DigitsNetwork`."""

__all__ = ["DIGITS_DETECTOR", "DIGITS_PIPELINE"]
