# For a few hundred images with boxes in COCO format, in DATA_ROOT/{train,val}/ and
# DATA_ROOT/{train,val}.json. The longer side is resized to 480 pixels (training: 400, 480 or 560).
_base_ = './coco.py'

train_pipeline = [
    dict(type='RandomChoiceResize', scales=[(400, 400), (480, 480), (560, 560)], keep_ratio=True)
    if step['type'] == 'Resize'
    else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=(480, 480)) if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        _base_.tta_pipeline[1],
        transforms=[
            [
                dict(type='Resize', scale=scale, keep_ratio=True)
                for scale in ((480, 480), (400, 400), (560, 560))
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]

train_dataloader = dict(
    batch_size=1,
    dataset=dict(ann_file='train.json', data_prefix=dict(img='train/'), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    dataset=dict(ann_file='val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
