# Faster R-CNN from the authors' convolutions: blood cells.
_base_ = [
    '../../_base_/downstream/detection/models/faster_rcnn_small.py',
    '../../_base_/downstream/detection/datasets/small_data.py',
    '../../_base_/downstream/detection/schedules/faster_rcnn_small.py',
    '../../_base_/downstream/detection/runtime_small.py',
]

DATA_ROOT = 'data/blood_cells'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[2, 4, 8])),
    roi_head=dict(bbox_head=dict(num_classes=3)),
    # Cells lie close together.
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.5))),
)
# Platelets are some 40 pixels wide in images of 640 x 480.
train_pipeline = [
    dict(step, scale=(400, 400)) if step['type'] == 'Resize' else step
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, scale=(400, 400)) if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        _base_.tta_pipeline[1],
        transforms=[
            [
                dict(type='Resize', scale=scale, keep_ratio=True)
                for scale in ((400, 400), (320, 320), (500, 500))
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
train_dataloader = dict(
    dataset=dict(data_root=DATA_ROOT, metainfo=metainfo, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{DATA_ROOT}/val.json')
test_evaluator = val_evaluator
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='MultiStepLR', milestones=[4, 5], gamma=0.1),
]
train_cfg = dict(max_epochs=6, val_interval=3)
