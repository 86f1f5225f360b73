# Single-class regression, only the fully-connected layers fine-tuned.
_base_ = './vgg16_pcr_fc_animals.py'

model = dict(head=dict(per_class=False))
