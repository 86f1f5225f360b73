# Per-class regression, all layers fine-tuned, S = 256.
# Table 8: 33.1 (central crop, true class); Table 9, Q = 256: 29.5 (--tta).
_base_ = [
    '../_base_/models/vgg_localisation.py',
    '../_base_/datasets/imagenet_boxes_s256.py',
    '../_base_/schedules/localisation_paper.py',
    '../_base_/localisation_runtime.py',
]
