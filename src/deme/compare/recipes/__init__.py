"""Comparisons shipped with the package."""
