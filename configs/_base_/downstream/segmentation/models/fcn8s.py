# FCN-8s: FCN-32s with additional scores from pool3 and pool4.
_base_ = './fcn32s.py'

model = dict(backbone=dict(out_indices=(2, 3, 4)), decode_head=dict(in_channels=(256, 512, 512)))
