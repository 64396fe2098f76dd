"""Ensembles of experts: which network serves which sampler step, and smaller networks for it.

OMS-DPM (arXiv:2306.08860):

- :mod:`.schedule`: :class:`~.schedule.ModelSchedule`, which model serves each sampler step, and
  what that costs
- :mod:`.predictor`: learns the order of schedules from measured ones
- :mod:`.evolution`: finds the schedules that it thinks best within a budget
- :mod:`.oms`: the whole

DiffPruning (arXiv:2409.15557):

- :mod:`.pruning`: a smaller stock network from a pretrained one; :mod:`.pruning_widths`,
  :mod:`.pruning_channels`, :mod:`.pruning_unet2d`, :mod:`.pruning_time`: which widths there are,
  which channels stay, and how they are cut
- :mod:`.ratios`: how much to keep for each interval of timesteps
"""
