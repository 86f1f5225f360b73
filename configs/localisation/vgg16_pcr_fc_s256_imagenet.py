# Per-class regression, only the fully-connected layers fine-tuned, S = 256. Table 8: 34.3.
_base_ = './vgg16_pcr_s256_imagenet.py'

model = dict(backbone=dict(frozen_stages=5))
