# For some hundred images, one an iteration: the Faster R-CNN paper's rate for COCO (its Section
# 4.2), which drops twice.
_base_ = './faster_rcnn.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', milestones=[12, 15], gamma=0.1),
]
train_cfg = dict(max_epochs=16, val_interval=4)
auto_scale_lr = dict(base_batch_size=1)
