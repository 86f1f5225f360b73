# Per-class regression, all layers fine-tuned, S = 384.
# Table 9, Q = 384: 28.2 (--tta).
_base_ = [
    '../_base_/models/vgg_localisation.py',
    '../_base_/datasets/imagenet_boxes_s384.py',
    '../_base_/schedules/localisation_paper.py',
    '../_base_/localisation_runtime.py',
]
