# Photos of raccoons and kangaroos with boxes in COCO format: DATA_ROOT/{train,val}.json and
# DATA_ROOT/{train,val}/*.jpg. S = Q = 160 with crops of 128; as in the paper, Q is a multiple of
# 32, so that windows with a stride of 32 pixels cover the whole smaller side. Any data set in COCO
# format works.
DATA_ROOT = 'data/animals'

pack = dict(type='PackInputs', algorithm_keys=('gt_bboxes',))
train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=160, crop_size=128, min_visible=0.5),
    dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
    dict(type='vgg_mm.PCAShift'),
    pack,
]
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=160, crop_size=128),
    pack,
]
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=(160,)),
    pack,
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='vgg_mm.CocoBoxes',
        data_root=DATA_ROOT,
        ann_file='train.json',
        data_prefix='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='vgg_mm.CocoBoxes',
        data_root=DATA_ROOT,
        ann_file='val.json',
        data_prefix='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='vgg_mm.LocalizationError', topk=(1,))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
