# A quarter of the paper's width, for classifiers like configs/vgg/vgg16_jitter_clothing.py, whose
# images have their mean subtracted, and for images of about 320 pixels.
_base_ = './faster_rcnn.py'

model = dict(
    data_preprocessor=dict(mean=[123.68, 116.779, 103.939], std=[1.0, 1.0, 1.0]),
    backbone=dict(base_channels=16, frozen_stages=-1),
    rpn_head=dict(in_channels=128, feat_channels=128, anchor_generator=dict(scales=[2, 4, 8])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128),
        bbox_head=dict(in_channels=128, fc_channels=512),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=2000, max_per_img=500)),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=100), rcnn=dict(nms=dict(iou_threshold=0.5))),
)
