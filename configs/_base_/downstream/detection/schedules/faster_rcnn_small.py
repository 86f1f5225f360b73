# For a few hundred images, with a batch size of 1. New layers have five times the learning rate of
# the pre-trained convolutions.
_base_ = './faster_rcnn.py'

optim_wrapper = dict(
    optimizer=dict(lr=5e-3), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2)))
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type='MultiStepLR', milestones=[9, 11], gamma=0.1),
]
train_cfg = dict(max_epochs=12, val_interval=3)
auto_scale_lr = dict(base_batch_size=1)
