# Faster R-CNN on images of blood cells, initialised with the authors' convolutions.
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
    # A higher threshold than the base's, because cells lie close together.
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.5))),
)
train_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
val_dataloader = dict(dataset=dict(data_root=DATA_ROOT, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{DATA_ROOT}/val.json')
test_evaluator = val_evaluator
