# As for SSD300, at 512 pixels.
_base_ = './coco_ssd300.py'

train_pipeline = [
    dict(step, scale=(512, 512)) if step['type'] == 'Resize' else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=(512, 512)) if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
