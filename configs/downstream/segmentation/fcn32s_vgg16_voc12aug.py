_base_ = [
    '../../_base_/downstream/segmentation/models/fcn32s.py',
    '../../_base_/downstream/segmentation/datasets/voc12aug.py',
    '../../_base_/downstream/segmentation/schedules/fcn.py',
    '../../_base_/downstream/segmentation/runtime.py',
]

# The published recipe starts from a whole classifier; weights without fc6 and fc7 are rejected.
default_hooks = dict(classifier_init=dict(require_fc=True))
