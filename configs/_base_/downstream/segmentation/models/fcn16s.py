# FCN-16s: scores of pool4 besides.
_base_ = './fcn32s.py'

model = dict(backbone=dict(out_indices=(3, 4)), decode_head=dict(in_channels=(512, 512)))
