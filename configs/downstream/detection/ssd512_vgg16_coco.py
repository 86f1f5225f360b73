_base_ = [
    '../../_base_/downstream/detection/models/ssd512.py',
    '../../_base_/downstream/detection/datasets/coco_ssd512.py',
    '../../_base_/downstream/detection/schedules/ssd.py',
    '../../_base_/downstream/detection/runtime.py',
]

# The published recipe starts from a whole classifier; weights without fc6 and fc7 are rejected.
default_hooks = dict(classifier_init=dict(require_fc=True))
