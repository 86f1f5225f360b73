# A quarter of the paper's width, for classifiers like configs/vgg/vgg16_jitter_clothing.py, whose
# images have their mean subtracted.
_base_ = './ssd300.py'

model = dict(
    data_preprocessor=dict(mean=[123.68, 116.779, 103.939], std=[1.0, 1.0, 1.0]),
    backbone=dict(base_channels=16, fc_channels=128),
    neck=dict(in_channels=(128, 128), out_channels=(128, 128, 128, 64, 64, 64)),
    bbox_head=dict(in_channels=(128, 128, 128, 64, 64, 64)),
)
