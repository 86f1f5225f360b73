# scikit-learn's handwritten digits: 1,437 for training, the last 360 (other writers) for testing.
# `python tools/prepare_data.py digits` writes them to class folders.
_base_ = ['./class_folders.py', '../tta/dense_multi_crop.py']

DATA_ROOT = 'data/digits'

train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=(64, 96), crop_size=64),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=80, crop_size=64),
    dict(type='PackInputs'),
]
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='several', trained_at=(64, 96)),
    dict(type='PackInputs'),
]
# Digits are not flipped, in training or in testing: a mirrored digit is a different symbol.
tta_model = dict(flip=False)

train_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(data_root=DATA_ROOT, pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=DATA_ROOT, pipeline=test_pipeline))
test_dataloader = val_dataloader
