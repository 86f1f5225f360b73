# New fc6 to fc8 on the authors' thirteen convolutions, which are frozen, trained as by
# tools/finetune.py: on the feature maps of some crops of each photo, which are computed once. The
# weights expect BGR with its mean subtracted; dividing by 58 makes the maps small enough for new
# layers.
_base_ = [
    '../../configs/_base_/models/vgg.py',
    '../../configs/_base_/datasets/clothing.py',
    '../../configs/_base_/schedules/finetune.py',
    '../../configs/_base_/authors_convolutions.py',
    '../../configs/_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, to_rgb=False),
    backbone=dict(arch='D', frozen_stages=5),
    head=dict(num_classes=10, fc_channels=512),
)
train_cfg = dict(
    _delete_=True, type='vgg_mm.CachedMapsTrainLoop', max_epochs=20, val_interval=1, views=4
)
val_cfg = dict(type='vgg_mm.CachedMapsValLoop')
optim_wrapper = dict(optimizer=dict(lr=1e-2), paramwise_cfg=dict(_delete_=True))
default_hooks = dict(
    logger=dict(interval=20),
    classifier_init=dict(
        type='vgg_mm.ClassifierInitHook', checkpoint={{_base_.authors_convolutions}}
    ),
)
randomness = dict(seed=0)
