# Per-class regression on photos of raccoons and kangaroos, only the fully-connected layers
# fine-tuned. From vgg16_animals.py: --cfg-options default_hooks.staged_init.checkpoint=FILE
_base_ = [
    '../_base_/models/vgg16_animals_localisation.py',
    '../_base_/datasets/animals_boxes.py',
    '../_base_/schedules/small_data.py',
    '../_base_/localisation_runtime.py',
]

model = dict(backbone=dict(frozen_stages=5))
# 100 times the paper's learning rate of 1e-3, as 210 iterations are few for layers from scratch.
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=21),
    dict(type='MultiStepLR', milestones=[21, 27], gamma=0.1),
]
train_cfg = dict(max_epochs=30, val_interval=10)
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=10))
randomness = dict(seed=0)
