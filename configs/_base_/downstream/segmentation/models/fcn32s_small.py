# A quarter of the paper's width, for classifiers like configs/vgg/vgg16_jitter_clothing.py, whose
# images have their mean subtracted.
_base_ = './fcn32s.py'

model = dict(
    data_preprocessor=dict(mean=[123.68, 116.779, 103.939], std=[1.0, 1.0, 1.0]),
    backbone=dict(base_channels=16),
    decode_head=dict(in_channels=128, fc_channels=512),
)
