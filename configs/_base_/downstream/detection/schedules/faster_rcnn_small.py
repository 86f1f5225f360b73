# For some hundred images, one an iteration: the Faster R-CNN paper's rate for VOC (its
# Section 3.1.3), which drops twice.
_base_ = './faster_rcnn.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', milestones=[6, 7], gamma=0.1),
]
train_cfg = dict(max_epochs=8, val_interval=4)
auto_scale_lr = dict(base_batch_size=1)
