# Single-class regression, only the fully-connected layers fine-tuned, S = 256. Table 8: 36.4.
_base_ = './vgg16_pcr_fc_s256_imagenet.py'

model = dict(head=dict(per_class=False))
