# A quarter of the paper's width, for small data sets.
_base_ = './vgg.py'

model = dict(
    backbone=dict(base_channels=16),
    head=dict(num_classes=10, in_channels=128, fc_channels=512),
)
