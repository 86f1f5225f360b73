# Faster R-CNN on a feature pyramid, from the authors' convolutions: blood cells. Platelets are 29
# pixels wide at a longer side of 480, less than two positions of conv5_3, but seven of conv3_3.
_base_ = './faster_rcnn_vgg16_blood_cells.py'

model = dict(
    backbone=dict(out_indices=('conv3_3', 'conv4_3', 'conv5_3')),
    # 256 wide, as in the paper (arXiv 1612.03144): fc6 is new and need not fit a classifier's.
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

param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='MultiStepLR', milestones=[6, 7], gamma=0.1),
]
train_cfg = dict(max_epochs=8, val_interval=2)
