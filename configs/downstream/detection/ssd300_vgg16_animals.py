# SSD300 on photos of raccoons and kangaroos, initialised with the authors' convolutions.
_base_ = [
    '../../_base_/downstream/detection/models/ssd300_small.py',
    '../../_base_/downstream/detection/datasets/small_data_ssd300.py',
    '../../_base_/downstream/detection/schedules/ssd_small.py',
    '../../_base_/downstream/detection/runtime_small.py',
]

DATA_ROOT = 'data/animals'
metainfo = dict(classes=('raccoon', 'kangaroo'))

model = dict(bbox_head=dict(num_classes=2))
train_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
val_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{DATA_ROOT}/val.json')
test_evaluator = val_evaluator
