# ImageNet with boxes, S = Q = 384 (Appendix A).
_base_ = './imagenet_boxes_s256.py'

pack = dict(type='PackInputs', algorithm_keys=('gt_bboxes',))
train_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.ScaleJitter', scale=384, crop_size=224, min_visible=0.5),
    dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
    dict(type='vgg_mm.PCAShift'),
    pack,
]
test_pipeline = [
    dict(type='vgg_mm.LoadImage', lazy=True),
    dict(type='vgg_mm.CentralCrop', scale=384, crop_size=224),
    pack,
]
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=(384,)),
    pack,
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
