# Some hundred images with boxes, COCO-style, in DATA_ROOT/{train,val}/ and
# DATA_ROOT/{train,val}.json; read at a longer side of 320 pixels.
_base_ = './coco.py'

train_pipeline = [
    dict(step, scale=(320, 320)) if step['type'] == 'Resize' else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=(320, 320)) if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(ann_file='train.json', data_prefix=dict(img='train/'), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    dataset=dict(ann_file='val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
