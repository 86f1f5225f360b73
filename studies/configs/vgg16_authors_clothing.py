# Net D on the authors' thirteen convolutions, fitted to photos of clothes; fc6 to fc8 are new.
_base_ = [
    '../../configs/_base_/models/vgg.py',
    '../../configs/_base_/datasets/clothing.py',
    '../../configs/_base_/schedules/finetune.py',
    '../../configs/_base_/authors_convolutions.py',
    '../../configs/_base_/default_runtime.py',
]

model = dict(backbone=dict(arch='D', frozen_stages=2), head=dict(num_classes=10, fc_channels=512))
default_hooks = dict(
    logger=dict(interval=20),
    classifier_init=dict(
        type='vgg_mm.ClassifierInitHook', checkpoint={{_base_.authors_convolutions}}
    ),
)
randomness = dict(seed=0)
