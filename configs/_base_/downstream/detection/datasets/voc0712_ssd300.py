# Pascal VOC in DATA_ROOT/VOC2007 and DATA_ROOT/VOC2012: trained on trainval of 2007 and 2012,
# tested on test of 2007. The pipelines are those of SSD300.
_base_ = './coco_ssd300.py'

DATA_ROOT = 'data/VOCdevkit'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        # The two years differ in this metadata, which need not be the same.
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                type='VOCDataset',
                data_root=DATA_ROOT,
                ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=_base_.train_pipeline,
            )
            for year in (2007, 2012)
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        type='VOCDataset',
        data_root=DATA_ROOT,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(_delete_=True, sub_data_root='VOC2007/'),
    )
)
test_dataloader = val_dataloader

# The 11-point average precision of VOC 2007.
val_evaluator = dict(_delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points')
test_evaluator = val_evaluator
