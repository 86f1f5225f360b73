# For a few dozen images, with the changes of fcn32s_small.py.
_base_ = './largefov.py'

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, bgr_to_rgb=False),
    backbone=dict(frozen_stages=3),
    decode_head=dict(fc_channels=512),
)
