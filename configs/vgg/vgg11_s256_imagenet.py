# Net A, S = 256.
_base_ = [
    '../_base_/models/vgg.py',
    '../_base_/datasets/imagenet_s256.py',
    '../_base_/schedules/vgg_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(arch='A'))
