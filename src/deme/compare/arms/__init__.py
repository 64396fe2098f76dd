"""The arms of a comparison, one kind a file.

- :mod:`.contract`: :class:`Arm`, what every kind is; :class:`Bench`, what it is given
- :mod:`.pretrained`: the model as it was
- :mod:`.finetune`: one model finetuned on all timesteps: plain, or with a baseline's weighting
- :mod:`.experts`: DeMe's experts before merging: routed by t, or merged by equal weights
- :mod:`.merged`: DeMe's merge with searched weights, and merge methods that rival it
- :mod:`.soup`: a finetuning's models at all rates, averaged
- :mod:`.lcsc`: a finetuning's checkpoints, combined
- :mod:`.oms_dpm`: which model of a zoo serves which sampler step
- :mod:`.pipeline`: a model that something else made
- :mod:`.diff_pruning`: a pruned network for each interval of timesteps, or one for all
"""
