# Same as for SSD300, but at 512 pixels.
_base_ = './coco_ssd300.py'

train_pipeline = [
    dict(step, scale=(512, 512)) if step['type'] == 'Resize' else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=(512, 512)) if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
# --tta: only the flip, because SSD's anchors are for one image size.
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        _base_.tta_pipeline[1],
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=False) for scale in ((512, 512),)],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
