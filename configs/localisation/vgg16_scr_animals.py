# Single-class regression, all layers fine-tuned.
_base_ = './vgg16_pcr_animals.py'

model = dict(head=dict(per_class=False))
