# What a feature pyramid of conv3_3, conv4_3 and conv5_3 changes in a Faster R-CNN with one map.
# 256 wide, as in the paper (arXiv 1612.03144): fc6 is new and need not fit a classifier's.
feature_pyramid = dict(
    backbone=dict(out_indices=('conv3_3', 'conv4_3', 'conv5_3')),
    neck=dict(type='FPN', in_channels=[256, 512, 512], out_channels=256, num_outs=5),
    rpn_head=dict(
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=256, featmap_strides=[4, 8, 16]),
        bbox_head=dict(in_channels=256),
    ),
)
