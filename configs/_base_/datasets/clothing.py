# Photos of clothes in ten class folders, DATA_ROOT/{train,val}/CLASS/*.jpg. Your own photos can be
# used in the same layout.
_base_ = ['./class_folders.py', '../tta/dense_multi_crop.py']

DATA_ROOT = 'data/clothing'

train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=(256, 384), crop_size=224),
    dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
    dict(type='vgg_mm.PCAShift'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=320, crop_size=224),
    dict(type='PackInputs'),
]
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='several', trained_at=(256, 384)),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32, num_workers=2, dataset=dict(data_root=DATA_ROOT, pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=32, num_workers=2, dataset=dict(data_root=DATA_ROOT, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
