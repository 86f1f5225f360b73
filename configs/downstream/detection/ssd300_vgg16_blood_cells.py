# SSD300 at a quarter of the width: blood cells.
_base_ = [
    '../../_base_/downstream/detection/models/ssd300_small.py',
    '../../_base_/downstream/detection/datasets/small_data_ssd300.py',
    '../../_base_/downstream/detection/schedules/ssd_small.py',
    '../../_base_/downstream/detection/runtime.py',
]

DATA_ROOT = 'data/blood_cells'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

model = dict(bbox_head=dict(num_classes=3))
train_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
val_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{DATA_ROOT}/val.json')
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=8)

# None: from random weights. A classifier of this width, e.g. that of vgg16_jitter_clothing.py:
# --cfg-options default_hooks.classifier_init.checkpoint=FILE
default_hooks = dict(classifier_init=dict(checkpoint=None))
