# Per-class regression, only the fully-connected layers fine-tuned.
_base_ = './vgg16_pcr_animals.py'

model = dict(backbone=dict(frozen_stages=5))
