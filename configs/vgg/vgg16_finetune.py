# Fine-tunes net D on your own photos; tools/finetune.py sets the options that depend on them.
# By hand: --cfg-options DATA_ROOT=FOLDER model.head.num_classes=12 load_from=torchvision://vgg16
_base_ = [
    '../_base_/models/vgg.py',
    '../_base_/datasets/clothing.py',
    '../_base_/schedules/finetune.py',
    '../_base_/default_runtime.py',
]

DATA_ROOT = 'data/photos'

model = dict(backbone=dict(arch='D', frozen_stages=2), head=dict(num_classes=10))
train_dataloader = dict(dataset=dict(data_root=DATA_ROOT))
val_dataloader = dict(dataset=dict(data_root=DATA_ROOT))
test_dataloader = dict(dataset=dict(data_root=DATA_ROOT))
