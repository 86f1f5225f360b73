# Faster R-CNN on a feature pyramid (Lin et al., arXiv 1612.03144) of conv3_3, conv4_3 and conv5_3,
# the last layers with strides 4, 8 and 16. The pyramid has 512 channels instead of the paper's 256,
# so that the classifier's fc6 fits the region features.
_base_ = './faster_rcnn.py'

model = dict(
    backbone=dict(out_indices=('conv3_3', 'conv4_3', 'conv5_3')),
    neck=dict(type='FPN', in_channels=[256, 512, 512], out_channels=512, num_outs=5),
    rpn_head=dict(
        anchor_generator=dict(scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])
    ),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[4, 8, 16])),
    train_cfg=dict(rpn_proposal=dict(nms_pre=2000, max_per_img=1000)),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=1000)),
)
