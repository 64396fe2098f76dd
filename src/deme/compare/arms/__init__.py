"""The arms of a comparison, one kind a file.

- :mod:`.contract`: :class:`Arm`, what every kind is; :class:`Bench`, what it is given
- :mod:`.pretrained`: the model as it was
- :mod:`.finetune`: one model finetuned on all timesteps: plain, or with a baseline's weighting
- :mod:`.experts`: DeMe's experts before merging: routed by t, or merged by equal weights
- :mod:`.merged`: DeMe's merge with searched weights, and merge methods that rival it
"""
