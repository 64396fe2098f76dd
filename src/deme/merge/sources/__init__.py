"""Where a merge's tensors come from: any checkpoint, as named tensors read when they are needed.

=============================  ==================================================================
:mod:`.contract`               weights and differences, as the merge sees them
:mod:`.opening`                a base, or an expert brought to the base's names
:mod:`.folder`                 pipelines and components as diffusers saves them
:mod:`.tensor_files`           safetensors and plain tensor checkpoints, in shards or whole
:mod:`.single_file`            Stable Diffusion 1.x, 2.x and XL under their original names
:mod:`.adapters`               LoRA and its relatives, in PEFT's, diffusers' and kohya's names
:mod:`.comparing`              which components an expert changed
:mod:`.digest`                 hashes of weights, made while they stream by
=============================  ==================================================================
"""
