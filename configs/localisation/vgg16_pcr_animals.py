# Per-class regression, second stage: all layers fine-tuned. (If training started from the
# classification net, with a new last layer, the first steps would damage the convolutions.)
_base_ = './vgg16_pcr_fc_animals.py'

load_from = 'work_dirs/vgg16_pcr_fc_animals/epoch_30.pth'
model = dict(backbone=dict(frozen_stages=-1))
# The paper's learning rate for the convolutions, ten times that for the fully-connected layers.
optim_wrapper = dict(
    optimizer=dict(lr=1e-2), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=21),
    dict(type='MultiStepLR', milestones=[10, 13], gamma=0.1),
]
train_cfg = dict(max_epochs=15, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=5))
