_base_ = './fcn32s_small.py'

model = dict(backbone=dict(out_indices=(2, 3, 4)), decode_head=dict(in_channels=(256, 512, 512)))
