# For some hundred images: the authors' thirteen convolutions, the first three blocks fixed; new
# fc6 and fc7 of 512 units. The weights expect BGR with its mean subtracted; the division by 58
# besides makes maps as small as new layers learn well from (see vgg_mm.ClassifierInitHook).
_base_ = './faster_rcnn.py'

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, bgr_to_rgb=False),
    backbone=dict(frozen_stages=3),
    roi_head=dict(bbox_head=dict(fc_channels=512)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=2000, max_per_img=500)),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=100)),
)
