# Handwritten digits of scikit-learn's wheel, written as class folders by
# `python tools/prepare_data.py digits`: 1,437 to train, the last 360 (other writers) to test.
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
# A mirrored digit is another sign: no flips, neither in training nor in testing.
tta_model = dict(flip=False)

train_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(data_root=DATA_ROOT, pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=DATA_ROOT, pipeline=test_pipeline))
test_dataloader = val_dataloader
