# For some hundred images, one an iteration. Few iterations, and maps that are divided by 58, want a
# larger rate than the papers'.
_base_ = './faster_rcnn.py'

optim_wrapper = dict(optimizer=dict(lr=1e-2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type='MultiStepLR', milestones=[9, 11], gamma=0.1),
]
train_cfg = dict(max_epochs=12, val_interval=3)
auto_scale_lr = dict(base_batch_size=1)
