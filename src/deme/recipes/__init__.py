"""Recipes shipped with the package, as YAML; ``deme run NAME`` runs one."""
