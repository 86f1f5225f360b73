# For a few dozen images: the authors' thirteen convolutions with the first three blocks frozen, and
# new fc6 and fc7 of 512 units. The weights expect mean-subtracted BGR. The additional division by
# 58 scales the feature maps down, so that new layers train well (see vgg_mm.ClassifierInitHook).
_base_ = './fcn32s.py'

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, bgr_to_rgb=False),
    backbone=dict(frozen_stages=3),
    decode_head=dict(fc_channels=512),
)
