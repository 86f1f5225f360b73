# FCN-16s: FCN-32s with additional scores from pool4.
_base_ = './fcn32s.py'

model = dict(backbone=dict(out_indices=(3, 4)), decode_head=dict(in_channels=(512, 512)))
