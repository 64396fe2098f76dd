"""Ensembles of experts: which network serves which sampler step."""
