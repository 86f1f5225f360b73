_base_ = [
    '../../_base_/downstream/detection/models/faster_rcnn_fpn.py',
    '../../_base_/downstream/detection/datasets/coco.py',
    '../../_base_/downstream/detection/schedules/faster_rcnn.py',
    '../../_base_/downstream/detection/runtime.py',
]

# Its maps are as wide as conv5_3's, so that the classifier's fc6 and fc7 fit.
default_hooks = dict(classifier_init=dict(require_fc=True))
