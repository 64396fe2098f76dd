"""The stages of the main job: each a function of a run's context, each idempotent.

==============================  ================================================================
:func:`.train.train_experts`    one expert per range
:func:`.joint.train_joint`      the comparison: one model on all timesteps, equal budget
:func:`.search.find_weights`    merging weights from the search's noise
:func:`.merge.write_merged`     the stock pipeline
:func:`.validate.validate`      every model's loss on every range
:func:`.evaluate.evaluate`      the table, on noise that the search never saw
==============================  ================================================================
"""
