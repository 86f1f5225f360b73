# Training with scale jitter: S is drawn from [256, 512] for each image (Section 3.1).
_base_ = ['./class_folders.py', '../tta/dense_multi_crop.py']

train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=(256, 512), crop_size=224),
    dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
    dict(type='vgg_mm.PCAShift'),
    dict(type='PackInputs'),
]
# Validation during training: the central crop at one test scale.
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=384, crop_size=224),
    dict(type='PackInputs'),
]
# Testing with --tta: the paper's values of Q for this S.
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales='several', trained_at=(256, 512)),
    dict(type='PackInputs'),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
