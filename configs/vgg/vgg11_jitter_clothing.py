# Net A at a quarter of the width on photos of clothes, S in [256; 384].
_base_ = [
    '../_base_/models/vgg_small.py',
    '../_base_/datasets/clothing.py',
    '../_base_/schedules/small_data.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(arch='A'))
# From scratch on 1,500 photos: many small steps.
param_scheduler = dict(milestones=[15, 18])
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=20))
randomness = dict(seed=0)
