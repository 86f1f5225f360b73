# For a few hundred images: the authors' thirteen convolutions, frozen and normalised as in
# faster_rcnn_small.py; fc6 and fc7 are new.
_base_ = './ssd300.py'

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, bgr_to_rgb=False),
    backbone=dict(frozen_stages=3),
)
