# For a few hundred images, with a batch size of 4. New layers have ten times the learning rate of
# the pre-trained convolutions.
_base_ = './ssd.py'

optim_wrapper = dict(
    optimizer=dict(lr=1e-2),
    paramwise_cfg=dict(custom_keys={'backbone.conv': dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', milestones=[30, 37], gamma=0.1),
]
train_cfg = dict(max_epochs=40, val_interval=10)
auto_scale_lr = dict(base_batch_size=4)
