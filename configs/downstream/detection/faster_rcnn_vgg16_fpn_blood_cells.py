# Faster R-CNN on a feature pyramid, from the authors' convolutions: blood cells. Platelets are 29
# pixels wide at a longer side of 480, less than two positions of conv5_3, but seven of conv3_3.
_base_ = [
    './faster_rcnn_vgg16_blood_cells.py',
    '../../_base_/downstream/detection/models/feature_pyramid.py',
]

model = _base_.feature_pyramid

param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='MultiStepLR', milestones=[6, 7], gamma=0.1),
]
train_cfg = dict(max_epochs=8, val_interval=2)
