# FCN-8s: scores of pool3 and pool4 besides.
_base_ = './fcn32s.py'

model = dict(backbone=dict(out_indices=(2, 3, 4)), decode_head=dict(in_channels=(256, 512, 512)))
