# ImageNet with boxes, S = Q = 256 (Appendix A): DATA_ROOT/ILSVRC/{Data,Annotations}/CLS-LOC.
DATA_ROOT = 'data/imagenet_cls_loc'

pack = dict(type='PackInputs', algorithm_keys=('gt_bboxes',))
train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=256, crop_size=224, min_visible=0.5),
    dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
    dict(type='vgg_mm.PCAShift'),
    pack,
]
# The simplified protocol: central crop, true class given (Table 8).
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=256, crop_size=224),
    pack,
]
# The full protocol (--tta): boxes at every position of the whole image (Table 9).
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=(256,)),
    pack,
]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='vgg_mm.ImageNetBoxes', data_root=DATA_ROOT, split='train', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vgg_mm.ImageNetBoxes',
        data_root=DATA_ROOT,
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='vgg_mm.LocalizationError', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
