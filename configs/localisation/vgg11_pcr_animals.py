# Per-class regression on photos of raccoons and kangaroos, all layers fine-tuned from
# vgg11_animals.py: --cfg-options default_hooks.staged_init.checkpoint=FILE
_base_ = [
    '../_base_/models/vgg_small_animals_localisation.py',
    '../_base_/datasets/animals_boxes.py',
    '../_base_/schedules/small_data.py',
    '../_base_/localisation_runtime.py',
]

# Ten times the paper's rate of 1e-3: 210 iterations are few for a last layer from scratch.
param_scheduler = dict(milestones=[20, 26])
train_cfg = dict(max_epochs=30, val_interval=10)
default_hooks = dict(
    logger=dict(interval=7),
    checkpoint=dict(interval=10),
    staged_init=dict(
        layers=[
            *('conv1_1', 'conv2_1', 'conv3_1', 'conv3_2', 'conv4_1', 'conv4_2'),
            *('conv5_1', 'conv5_2', 'fc6', 'fc7'),
        ]
    ),
)
randomness = dict(seed=0)
