# Per-class regression on photos of raccoons and kangaroos, all layers fine-tuned from
# vgg16_animals.py: --cfg-options default_hooks.staged_init.checkpoint=FILE
_base_ = [
    '../_base_/models/vgg16_animals_localisation.py',
    '../_base_/datasets/animals_boxes.py',
    '../_base_/schedules/small_data.py',
    '../_base_/localisation_runtime.py',
]

# The paper's rate of 1e-3 for the convolutions, a hundred times that for the others: 210 iterations
# are few for layers from scratch.
optim_wrapper = dict(
    optimizer=dict(lr=0.1), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.01)))
)
# Without a warm-up the first steps, of a new last layer, spoil what is trained.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=21),
    dict(type='MultiStepLR', milestones=[21, 27], gamma=0.1),
]
train_cfg = dict(max_epochs=30, val_interval=10)
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=10))
randomness = dict(seed=0)
