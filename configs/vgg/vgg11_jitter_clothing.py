# Net A at a quarter of the width, on photos of clothes, S in [256; 384].
_base_ = [
    '../_base_/models/vgg_small.py',
    '../_base_/datasets/clothing.py',
    '../_base_/schedules/small_data.py',
    '../_base_/default_runtime.py',
]

# From scratch on 1,500 photos, the loss leaves ln 10 sooner with Kaiming's larger weights than with
# Glorot's.
model = dict(
    backbone=dict(arch='A', init_cfg='kaiming'),
    head=dict(init_cfg='kaiming'),
)
param_scheduler = dict(milestones=[12, 15])
train_cfg = dict(max_epochs=16, val_interval=4)
default_hooks = dict(logger=dict(interval=20))
randomness = dict(seed=0)
